from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainers.cli.arguments import parse
from trainers.config import ConfigError, TrainingConfig


def test_flags_become_the_config() -> None:
    options = parse(
        ["--plugin", "vgg:16", "--fine-tune-epochs", "0", "--fine-tune-learning-rate", "1e-2"]
    )
    assert options.config.plugin == "vgg:16"
    assert options.config.fine_tune_epochs == 0
    assert options.config.fine_tune_learning_rate == 0.01
    assert (options.quiet, options.json) == (False, False)


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_flags_override_the_values_of_a_file(tmp_path: Path, suffix: str) -> None:
    values = {"plugin": "resnet:50", "batch-size": 3, "fine-tune-layers": 7}
    path = tmp_path / f"run.{suffix}"
    text = (
        json.dumps(values, indent="\t")  # with tabs, which YAML does not allow
        if suffix == "json"
        else "plugin: resnet:50\nbatch-size: 3\nfine-tune-layers: 7\n"
    )
    path.write_text(text)
    config = parse(["--config", str(path), "--batch-size", "4"]).config
    assert (config.plugin, config.batch_size, config.fine_tune_layers) == ("resnet:50", 4, 7)


def test_an_unknown_key_in_a_file_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("plugin: vgg\nfine-tune-epoch: 3\n")
    with pytest.raises(
        ConfigError,
        match=r"run\.yaml: unknown option `fine_tune_epoch`: did you mean `fine_tune_epochs`",
    ):
        parse(["--config", str(tmp_path / "run.yaml")])


@pytest.mark.parametrize(
    ("content", "message"),
    [("- a list", "must contain `name: value` lines"), ("a: [", "cannot be read")],
)
def test_a_file_that_is_not_a_mapping_is_refused(
    tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "run.yaml").write_text(content)
    with pytest.raises(ConfigError, match=message):
        parse(["--config", str(tmp_path / "run.yaml")])


def test_without_a_plugin_the_message_shows_an_example() -> None:
    with pytest.raises(ConfigError, match="--plugin efficientnet"):
        parse([])


def test_a_tilde_is_the_home_folder_in_files_and_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    (tmp_path / "run.yaml").write_text("plugin: vgg\ndata: ~/pictures\nweights: ~/vgg.h5\n")
    config = parse(["--config", str(tmp_path / "run.yaml"), "--output=~/models"]).config
    assert (config.data, config.weights) == ("/home/someone/pictures", "/home/someone/vgg.h5")
    assert config.output == Path("/home/someone/models")


@pytest.mark.parametrize(("flags", "strict"), [([], False), (["--strict"], True)])
def test_a_switch_is_a_flag_without_a_value(flags: list[str], strict: bool) -> None:
    assert parse(["--plugin", "vgg", *flags]).config.strict is strict


def test_a_switch_in_a_file_is_yes_or_no(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("plugin: vgg\nstrict: true\n")
    assert parse(["--config", str(tmp_path / "run.yaml")]).config.strict is True


def test_without_data_the_folder_data_is_used_if_it_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert TrainingConfig(plugin="vgg").folder() is None
    (tmp_path / "data").mkdir()
    assert TrainingConfig(plugin="vgg").folder() == Path("data")
    assert TrainingConfig(plugin="vgg", data="demo").folder() is None


def test_an_infinite_rate_is_refused() -> None:
    with pytest.raises(ConfigError, match="--fine-tune-learning-rate"):
        parse(["--plugin", "vgg", "--fine-tune-learning-rate", "inf"])


@pytest.mark.parametrize("content", ["name: 2024-13-01", "[" * 5000, "plugin: !!timestamp foo"])
def test_a_file_that_yaml_cannot_read_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.yaml").write_text(content)
    with pytest.raises(ConfigError, match=r"run\.yaml cannot be read"):
        parse(["--config", str(tmp_path / "run.yaml")])


def test_folder_names_may_use_any_writing_system() -> None:
    config = parse(["--plugin", "vgg", "--output", "出力　先", "--data", "می‌خواهم"]).config
    assert (str(config.output), config.data) == ("出力　先", "می‌خواهم")


def test_formats_are_separated_by_commas() -> None:
    assert parse(["--plugin", "vgg"]).config.formats == ()
    config = parse(["--plugin", "vgg", "--export", "openvino, keras"]).config
    assert config.formats == ("keras", "openvino")
    with pytest.raises(ConfigError, match=r"--export .*unknown: coreml; the formats are keras, "):
        parse(["--plugin", "vgg", "--export", "coreml,keras"])
    with pytest.raises(ConfigError, match=r"--export .*is empty"):
        parse(["--plugin", "vgg", "--export", " ,"])


def test_formats_may_be_a_list_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("plugin: vgg\nexport: [keras, litert]\n")
    config = parse(["--config", str(tmp_path / "run.yaml")]).config
    assert config.formats == ("keras", "litert")


def test_folds_need_time() -> None:
    assert parse(["--plugin", "vgg", "--folds", "5"]).config.folds == 5
    with pytest.raises(ConfigError, match=r"--folds \(='5'\): cannot be used with --time-budget"):
        parse(["--plugin", "vgg", "--folds", "5", "--time-budget", "60"])
    with pytest.raises(ConfigError, match="--folds"):
        parse(["--plugin", "vgg", "--folds", "1"])
