import scipy.linalg  # noqa: F401 - loads a BLAS library besides that of NumPy
from threadpoolctl import ThreadpoolController

from trainers.resources.blas_threads import one_blas_thread


def test_blas_has_one_thread_inside_the_context_only() -> None:
    def count_threads() -> list[int]:
        blas = ThreadpoolController().select(user_api="blas")
        return [library.num_threads for library in blas.lib_controllers]

    with ThreadpoolController().limit(limits=2, user_api="blas"):
        before = count_threads()
        assert set(before) == {2}
        with one_blas_thread():
            assert set(count_threads()) == {1}
        assert count_threads() == before
