from rich.console import Console

from perisphere.evaluation.rankings_table import rankings_table
from perisphere.evaluation.report import Report


def test_one_ranking_s_name_may_begin_another_s() -> None:
    values = {"BM25 MAP": 0.25, "BM25 merged MAP": 0.5}
    table = rankings_table(
        Report(protocol="text", values=values, counts={}), ("vectors", "BM25", "BM25 merged")
    )
    assert table.row_count == 1
    console = Console(width=100)
    with console.capture() as drawn:
        console.print(table)
    assert "0.2500" in drawn.get()
    assert "0.5000" in drawn.get()
