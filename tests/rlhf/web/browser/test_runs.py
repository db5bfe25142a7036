"""Runs: curves over each other, one that is growing, and samples over time."""

import json
import shutil

from playwright.sync_api import expect


def test_curves_of_several_stages_and_samples_over_time(local, open_window):
    page = open_window(local).open("/runs")
    expect(page.get_by_role("checkbox", name="ppo", exact=True)).to_be_checked()
    expect(page.locator("#charts svg").first).to_be_visible()
    page.get_by_role("checkbox", name="sft", exact=True).check()
    expect(page.get_by_role("list", name="Colours of the runs").get_by_role("listitem")).to_have_count(2)
    page.get_by_label("Of", exact=True).select_option("pretrain")
    expect(page.locator("#sample")).not_to_be_empty()
    chart = page.locator("#charts svg").first
    chart.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".chart-readout").first).to_contain_text("step")


def test_a_curve_grows_while_a_stage_trains(local, open_window):
    """A log in the folder of a stage that is training, to which a line is added while the page is open."""
    page = open_window(local).open("/runs")
    expect(page.get_by_role("checkbox", name="ppo", exact=True)).to_be_visible()
    folder = local.runs / "tiny" / "sft" / "unfinished"
    folder.mkdir()
    try:
        with (folder / "metrics.jsonl").open("w", encoding="utf-8", buffering=1) as log:
            log.write("".join(json.dumps({"step": step, "loss": 3.0}) + "\n" for step in range(1, 4)))
            expect(page.get_by_role("status").first).to_have_text("Training now: sft (again).")
            growing = page.get_by_role("figure").filter(has_text="loss").locator("svg").first
            log.write(json.dumps({"step": 777, "loss": 1.0}) + "\n")
            page.get_by_text("Latest values").click()
            expect(page.locator("#latest")).to_contain_text("sft (again) (777)")
            assert growing.is_visible()
    finally:
        shutil.rmtree(folder)
