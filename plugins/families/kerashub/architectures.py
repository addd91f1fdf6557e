"""The networks of KerasHub as flat graphs: pictures -> feature maps.

KerasHub packs all blocks of a network into one layer. The functions here call the blocks one by one
instead, on the same weights. So training can freeze the first blocks, compute their outputs once,
and fine-tune the last blocks.

Each function takes a network of KerasHub and its scaled pictures (N, H, W, 3), and returns feature
maps (N, h, w, D). Their average over all positions is the embedding that the authors of the network
classify with.
"""

from __future__ import annotations

from typing import Any

from plugins.copying import assign_weights


def embed_dinov2(network: Any, images: Any) -> Any:
    """Class token beside the mean of the patch tokens (Oquab et al. 2023, linear evaluation)."""
    tokens = network.embeddings(images)
    for block in network.encoder.layers:
        tokens = block(tokens)
    return _add_class_token(network.layernorm(tokens), network.num_register_tokens, network)


def embed_dinov3(network: Any, images: Any) -> Any:
    """Class token beside the mean of the patch tokens, as in DINOv2."""
    positions = network.rope_embedding(images)
    tokens, registers = network.embeddings(images), network.num_register_tokens
    for block in network.encoder.layers:
        tokens = block(tokens, position_embeddings=positions, num_prefix_tokens=1 + registers)
    return _add_class_token(network.layernorm(tokens), registers, network)


def embed_vit(network: Any, images: Any) -> Any:
    """The class token, as feature maps of one position (Dosovitskiy et al. 2020).

    The layers of KerasHub cannot be copied (their `from_config` fails, keras-hub 0.32), so they are
    replaced by their parts, which are layers of Keras. Dropout is left out.
    """
    import keras

    _, embedding, encoder = network.layers
    patches = embedding.patch_embedding(images)
    tokens = keras.layers.Reshape((-1, patches.shape[-1]), name="patches")(patches)
    zeros = keras.ops.cast(keras.ops.zeros_like(tokens[:, :1, 0]), "int32")
    class_token = keras.layers.Embedding(1, tokens.shape[-1], name="class_token")
    tokens = keras.layers.Concatenate(axis=1)([class_token(zeros), tokens])
    assign_weights(class_token, [embedding.class_token[0]])
    tokens += embedding.position_embedding(zeros + keras.ops.arange(tokens.shape[1]))
    for block in encoder.encoder_layers:
        parts = (block.layer_norm_1, block.mha, block.layer_norm_2, block.mlp.dense_1)
        for layer in (*parts, block.mlp.dense_2):
            layer.name = f"{block.name}_{layer.name}"
        normed = block.layer_norm_1(tokens)
        tokens += block.mha(normed, normed)
        tokens += block.mlp.dense_2(block.mlp.dense_1(block.layer_norm_2(tokens)))
    return encoder.layer_norm(tokens)[:, None, :1]


def embed_siglip(network: Any, images: Any) -> Any:
    """The token of attention pooling, as feature maps of one position (Zhai et al. 2023)."""
    network.embedding.name, network.head.name = "patch_embedding", "attention_pooling"
    tokens = network.embedding(images)  # renamed, because Graft's own layers have those names
    for block in network.encoder_layers:
        tokens = block(tokens)
    return network.head(network.post_layer_norm(tokens))[:, None, None]


def embed_swin(network: Any, images: Any) -> Any:
    """The tokens of the last stage, at their positions (Liu et al. 2021)."""
    import keras

    embedding = network.patch_embedding  # as a whole, it cannot be copied (keras-hub 0.32)
    patches = embedding.proj(images)
    tokens = keras.layers.Reshape((-1, patches.shape[-1]), name="patches")(patches)
    if embedding.norm:
        embedding.norm.name = "patch_norm"
        tokens = embedding.norm(tokens)
    for stage in network.stages:
        for block in stage.blocks:
            block.name = f"{stage.name}_{block.name}"  # in a flat graph, names must be unique
            tokens = block(tokens)
        if stage.downsample:
            stage.downsample.name = f"{stage.name}_downsample"
            height, width = stage.input_resolution
            tokens = stage.downsample(tokens, H=height, W=width)
    height, width = network.stages[-1].input_resolution
    maps = keras.layers.Reshape((height, width, tokens.shape[-1]), name="maps")
    return maps(network.norm(tokens))


def embed_hgnetv2(network: Any, images: Any) -> Any:
    """The feature maps of the last stage."""
    maps = network.embedder_layer(images)
    for stage in network.encoder_layer.stages_list:
        for layer in (stage.downsample_layer, *stage.blocks_list):
            if layer.weights:  # the first stage has an Identity in place of its downsampling
                layer.name = f"{stage.name}_{layer.name}"
                maps = layer(maps)
    return maps


def embed_efficientnet(network: Any, images: Any) -> Any:
    """The feature maps of the last layer. The graph of this network is already flat."""
    return network.call(images)


def _add_class_token(tokens: Any, registers: int, network: Any) -> Any:
    """Arrange the patch tokens (N, tokens, D) as feature maps (N, h, w, 2 D) with the class token.

    The last D channels of every position are the class token, so that averaging over all positions
    gives the mean of the patch tokens beside the class token.
    """
    import keras

    patches = tokens[:, 1 + registers :]
    side, width = round(patches.shape[1] ** 0.5), patches.shape[2]
    class_token = keras.ops.zeros_like(patches) + tokens[:, :1]
    pairs = keras.layers.Concatenate(name="patches_and_class")([patches, class_token])
    return keras.layers.Reshape((side, side, 2 * width), name="maps")(pairs)
