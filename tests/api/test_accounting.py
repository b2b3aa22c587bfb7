"""Accountings at the public face: in a run, in an evaluation, on the command line; the tables name them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import snncc
from snncc.api.report import html_report
from snncc.api.tables import cost_table, report_table
from snncc.cli import main, parser
from snncc.errors import UnknownName
from snncc.simulator.accountings import ACCOUNTINGS
from tests.api.networks import images, lif_graph, sequences, sfa_graph
from tests.joules import joules


@pytest.mark.parametrize("precision", ["integer", "float"])
def test_both_accountings_of_one_program(precision: str) -> None:
    program = snncc.compile(lif_graph(), calibration=sequences(), precision=precision)
    paper = program.run(sequences())
    cmos = program.run(sequences(), accounting="cmos45")
    assert np.array_equal(paper.output, cmos.output)
    assert (paper.counts.accounting.name, cmos.counts.accounting.name) == ("paper", "cmos45")
    assert cmos.counts.parts.memory > cmos.counts.parts.ops > 0 < cmos.counts.parts.addressing
    assert paper.counts.parts.memory == paper.counts.parts.addressing == 0
    assert paper.counts.total("ac") == cmos.counts.total("ac")
    assert cmos.counts.formula_energy > 0 < cmos.counts.ann_energy
    assert program.run(sequences()[:, :3], accounting="cmos45").counts.energy == joules(
        np.mean([program.run(sequences()[:, k : k + 1], accounting="cmos45").energy for k in range(3)])
    )
    with pytest.raises(UnknownName, match="unknown accounting 'ours'; known: cmos45, paper"):
        program.run(sequences(), accounting="ours")


def test_tables_name_the_accounting_and_its_parts() -> None:
    program = snncc.compile(sfa_graph(), calibration=images())
    plain = cost_table(program.run(images()).counts)
    assert "(paper accounting: 4.6 pJ/MAC, 0.9 pJ/AC)" in plain
    assert "not comparable with other accountings" in plain
    assert "addressing" not in plain
    result = program.run(images(), accounting="cmos45")
    text = cost_table(result.counts)
    assert "(cmos45 accounting: 45 nm, arithmetic by width, memory by size, addresses" in text
    assert "not comparable with other accountings" in text
    assert "energy of one inference, cmos45 accounting\n layer " in text
    assert ["layer", "ops", "memory", "addressing", "energy"] in [line.split() for line in text.splitlines()]
    assert "energy, cmos45 accounting" in html_report(program, result)
    report = snncc.evaluate(program, images(), np.arange(24) % 5, accounting="cmos45")
    assert report_table(report).endswith(
        "energy in the accounting cmos45, not comparable with other accountings"
    )


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = snncc.compile(sfa_graph(), calibration=images())
    program.save(tmp_path / "out")
    np.savez(tmp_path / "x.npz", x=images(), y=np.arange(24) % 5)
    for command in ("simulate", "evaluate"):
        arguments = [command, f"{tmp_path}/out", "--input", f"{tmp_path}/x.npz", "--accounting", "cmos45"]
        capsys.readouterr()
        assert main([*arguments, "--json"]) == 0
        printed = json.loads(capsys.readouterr().out)
        counts = printed["counts"] if command == "simulate" else printed["scores"][0]["counts"]
        assert counts["accounting"]["numbers"]["sram_8KB"]["value"] == 10
        assert counts["total"]["energy"] == joules(sum(counts["total"]["parts"].values()))
        assert main(arguments) == 0
        assert "cmos45" in capsys.readouterr().out
    for name in ACCOUNTINGS:
        options = parser().parse_args(["simulate", "p", "--input", "x.npz", "--accounting", name])
        assert options.accounting == name
