"""Alerting rules: files as Prometheus reads them, over figures that there are, each with what to type next."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from taut.deploy import list_figures
from taut.errors import Invalid
from taut.ground.yaml import dump_yaml
from taut.watch import close_windows
from taut.watch.rules import alerting_rules
from tests.watch.served import SPEC, draw, serve, watched

DURATION = re.compile(r"[0-9]+(ms|s|m|h|d|w|y)")
NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
FIGURE = re.compile(r"taut_watch_[a-z_]+")


def read(*names: str, **options: str) -> list[dict[str, Any]]:
    """The groups, through the YAML that is printed."""
    made = yaml.safe_load(dump_yaml(alerting_rules(names, **options)))
    assert made.keys() == {"groups"}
    groups: list[dict[str, Any]] = made["groups"]
    return groups


def test_each_deployment_has_a_group_of_rules_as_prometheus_has_them():
    groups = read("late", "churn")
    assert [group["name"] for group in groups] == ["taut-watch-late", "taut-watch-churn"]
    for group in groups:
        assert group.keys() == {"name", "rules"}
        assert len({rule["alert"] for rule in group["rules"]}) == len(group["rules"]) == 6
        for rule in group["rules"]:
            assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
            assert NAME.fullmatch(rule["alert"])
            assert DURATION.fullmatch(rule["for"])
            assert rule["labels"] == {
                "severity": rule["labels"]["severity"], "deployment": group["name"].removeprefix("taut-watch-"),
            }  # fmt: skip
            assert rule["labels"]["severity"] in {"page", "ticket"}
            assert rule["annotations"].keys() == {"summary", "description", "command"}
            assert rule["annotations"]["command"].startswith("taut ")


def test_rules_ask_for_figures_that_a_watched_deployment_has(home):
    watched(home)
    for day in range(3):
        serve(home, day, draw(day))
    close_windows(home, "late", SPEC)
    there = {family.name for family in list_figures(home, "late") if family.samples}
    (group,) = read("late")
    asked = {name for rule in group["rules"] for name in FIGURE.findall(rule["expr"])}
    assert asked <= there
    assert len(asked) == 8


def test_brackets_and_quotes_of_each_expression_close():
    (group,) = read("late")
    for rule in group["rules"]:
        text = re.sub(r'"[^"]*"', "", rule["expr"])
        assert '"' not in text
        for opening, closing in ("()", "{}"):
            assert text.count(opening) == text.count(closing)


def test_how_long_a_deployment_may_be_silent_is_said():
    (group,) = read("late", silent="2 d")
    (rule,) = [rule for rule in group["rules"] if rule["alert"] == "TautNoPredictions"]
    assert rule["expr"].endswith("> 172800")
    with pytest.raises(Invalid):
        alerting_rules(["late"], silent="soon")


def test_no_deployment_has_no_group():
    assert read() == []


TEST_FILE = """
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: 'taut_watch_open_alerts{deployment="late",severity="page"}'
        values: '0x10 1x60'
      - series: 'taut_watch_open_alerts{deployment="late",severity="ticket"}'
        values: '0x70'
      - series: 'taut_watch_round_timestamp_seconds{deployment="late",model="late",version="1"}'
        values: '0+60x30 1800x60'
      - series: 'taut_watch_answered_timestamp_seconds{deployment="late",model="late",version="1"}'
        values: '0+60x200'
      - series: 'taut_watch_newest_event_timestamp_seconds{deployment="late",model="late",version="1"}'
        values: '0+60x200'
      - series: 'taut_watch_window_due_timestamp_seconds{deployment="late",model="late",version="1"}'
        values: '1200x200'
    alert_rule_test:
      - {eval_time: 5m, alertname: TautDriftPage, exp_alerts: []}
      - eval_time: 20m
        alertname: TautDriftPage
        exp_alerts: [{exp_labels: {severity: page, deployment: late}, exp_annotations: PAGE}]
      - {eval_time: 20m, alertname: TautDriftTicket, exp_alerts: []}
      - {eval_time: 30m, alertname: TautLoopDown, exp_alerts: []}
      - {eval_time: 45m, alertname: TautWindowsNotClosing, exp_alerts: []}
      - {eval_time: 30m, alertname: TautNoPredictions, exp_alerts: []}
      - eval_time: 60m
        alertname: TautLoopDown
        exp_alerts: [{exp_labels: {severity: page, deployment: late}, exp_annotations: LOOP}]
"""


@pytest.mark.slow
def test_promtool_takes_the_rules_and_fires_them(tmp_path: Path):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    rules = tmp_path / "rules.yml"
    rules.write_bytes(dump_yaml(alerting_rules(["late", "churn"])))
    checked = subprocess.run([promtool, "check", "rules", str(rules)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "12 rules found" in checked.stdout
    told = {rule["alert"]: rule["annotations"] for rule in read("late")[0]["rules"]}
    page = {**told["TautDriftPage"], "description": told["TautDriftPage"]["description"].replace("{{ $value }}", "1")}
    text = TEST_FILE.replace("PAGE", yaml.safe_dump(page, default_flow_style=True, width=10_000).strip())
    text = text.replace("LOOP", yaml.safe_dump(told["TautLoopDown"], default_flow_style=True, width=10_000).strip())
    rules.write_bytes(dump_yaml(alerting_rules(["late"])))
    (tmp_path / "tests.yml").write_text(text)
    done = subprocess.run(
        [promtool, "test", "rules", "tests.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
