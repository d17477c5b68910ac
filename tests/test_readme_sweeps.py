"""The README's study runs, and its table is what comes out."""

import re

import accelsim as acs
from tests.pages import README


def test_the_table_of_designs_is_that_of_the_study(tmp_path):
    path = tmp_path / "budget.yaml"
    found = re.search(r"<!-- study -->\n```yaml\n(.*?)```", README, re.S)
    path.write_text(found.group(1), encoding="utf-8")
    rows = acs.sweep(path, workers=1).iter_rows(named=True)
    assert re.findall(r"^\| `(?:resnet50|mobilenet_v2)` \|.*$", README, re.M) == [
        f"| `{row['network']}` | {row['engine.multipliers']:,} | {row['throughput.frames_per_second']:,.0f} "
        f"| {row['stored_elements']:,.0f} | {row['energy.total_pj'] / 1e9:.2f} |"
        for row in rows
    ]
