# From: dask 2026.8.0, docs/source/custom-collections.rst, "Demonstrating this class"
# License: BSD-3-Clause, ../LICENSE.txt
# Changed: prompts and shown outputs removed; in one function, because the page works at a prompt;
#          some answers are returned; RemoteTuple imported too; x2, which nothing defines, is dask_tup2; the
#          last example left out: this class is no dask.typing.DaskCollection in this version

from dask_tuple import RemoteTuple, Tuple


def from_pytuple(pytup: tuple) -> Tuple:
    return Tuple(RemoteTuple(*pytup))


def main():
    dask_tup = from_pytuple(tuple(range(5)))

    dask_tup.__dask_keys__()

    # Compute turns Tuple into a tuple
    computed = dask_tup.compute()

    # Persist turns Tuple into a Tuple, with each task already computed
    dask_tup2 = dask_tup.persist()
    assert isinstance(dask_tup2, Tuple)

    dask_tup2.__dask_graph__()

    again = dask_tup2.compute()

    return {"computed": computed, "again": len(again)}
