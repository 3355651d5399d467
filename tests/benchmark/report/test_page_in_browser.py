"""The page in headless Chromium, offline: looked at and clicked. Wants `pip install ".[browser]"` and the browser."""

import json
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmark.report.comparisons import compare_all
from benchmark.report.leaderboard import build_leaderboard, collect_runs
from benchmark.report.page import write_page
from tests.benchmark.report.pages import copy_runs

selenium = pytest.importorskip("selenium", reason="the extra `browser` is not installed")

from selenium import webdriver  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.select import Select  # noqa: E402

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
SWITCHES = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
)  # fmt: skip
NARROW = 400  # pixels

pytestmark = [
    pytest.mark.whole,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="there is no Chromium with its driver"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
]


@contextmanager
def browsing(folder: Path, *switches: str):
    """A browser of its own, without a network."""
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for switch in (*SWITCHES, f"--user-data-dir={folder}", *switches):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, Service(DRIVER))
    try:
        driver.execute_cdp_cmd("Network.enable", {})
        driver.execute_cdp_cmd(
            "Network.emulateNetworkConditions",
            {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0},
        )
        yield driver
    finally:
        driver.quit()


def requests_of(driver) -> set[str]:
    """What the page asked for, but for what stands in it; a browser's first tab asks for fonts of its own."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]
    return {url for url in asked if not url.startswith(("data:", "chrome:"))}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    out = tmp_path_factory.mktemp("browsed")
    copy_runs(out, worlds=True)
    runs = collect_runs(out)
    board = build_leaderboard(runs)
    return write_page(out, runs, board, compare_all(runs, board))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with browsing(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def page(browser, file):
    """The page, freshly opened; afterwards nothing was complained of and nothing asked for."""
    browser.get_log("performance")
    browser.get(file.as_uri())
    yield browser
    assert browser.get_log("browser") == []
    assert {url.partition("#")[0] for url in requests_of(browser)} <= {file.as_uri()}


def leaderboard(page):
    return page.find_element(By.CSS_SELECTOR, ".block table.sortable")


def column(page, name):
    """The texts of a column of the leaderboard that are shown, from above."""
    return page.execute_script(
        """const [table, name] = arguments;
        const place = [...table.tHead.rows[0].cells].findIndex(head => head.dataset.name === name);
        const shown = [...table.tBodies[0].rows].filter(row => row.offsetParent);
        return shown.map(row => row.cells[place].dataset.value ?? null)""",
        leaderboard(page),
        name,
    )


def head(page, name):
    return leaderboard(page).find_element(By.CSS_SELECTOR, f'th[data-name="{name}"]')


def test_it_sorts_by_click_and_by_key(page):
    ranks = column(page, "rank")
    assert ranks == sorted(ranks, key=float)
    button = head(page, "mig").find_element(By.TAG_NAME, "button")
    button.click()
    falling = [float(value) for value in column(page, "mig")]
    assert falling == sorted(falling, reverse=True)
    assert head(page, "mig").get_attribute("aria-sort") == "descending"
    assert len(leaderboard(page).find_elements(By.CSS_SELECTOR, "[aria-sort]")) == 1
    button.send_keys(Keys.ENTER)
    assert [float(value) for value in column(page, "mig")] == falling[::-1]
    assert head(page, "mig").get_attribute("aria-sort") == "ascending"
    head(page, "method").find_element(By.TAG_NAME, "button").send_keys(Keys.SPACE)
    assert column(page, "method") == sorted(column(page, "method"))


def test_rows_without_a_value_stay_last(page):
    page.find_element(By.CSS_SELECTOR, ".block .all-columns").click()
    button = head(page, "normalised_beta").find_element(By.TAG_NAME, "button")
    for _ in range(2):
        button.send_keys(Keys.ENTER)
        values = column(page, "normalised_beta")
        assert None in values
        assert None not in values[: values.index(None)]
        assert set(values[values.index(None) :]) == {None}


def test_it_shows_one_method(page):
    Select(page.find_element(By.CSS_SELECTOR, '[data-by="method"]')).select_by_visible_text("betavae")
    assert set(column(page, "method")) == {"betavae"}
    first = page.find_element(By.CSS_SELECTOR, ".block")
    shown = [each for each in first.find_elements(By.CSS_SELECTOR, ".panel") if each.is_displayed()]
    assert {each.get_attribute("data-method") for each in shown} == {"betavae"}
    assert len(shown) == 3
    Select(page.find_element(By.CSS_SELECTOR, '[data-by="method"]')).select_by_visible_text("all")
    assert len(set(column(page, "method"))) == 8


def test_columns_are_chosen(page):
    assert not head(page, "sap").is_displayed()
    box = page.find_element(By.CSS_SELECTOR, ".block .choose")
    box.find_element(By.TAG_NAME, "summary").click()
    (label,) = [each for each in box.find_elements(By.CSS_SELECTOR, ".columns label") if each.text == "sap"]
    label.click()
    assert head(page, "sap").is_displayed()
    assert not head(page, "irs").is_displayed()
    box.find_element(By.CSS_SELECTOR, ".all-columns").click()
    assert head(page, "irs").is_displayed()


def test_a_link_opens_a_panel_with_its_pictures(page):
    row = leaderboard(page).find_element(By.CSS_SELECTOR, 'tbody tr[data-method="betavae"] a')
    target = row.get_attribute("href").partition("#")[2]
    panel = page.find_element(By.ID, target)
    assert not panel.get_attribute("open")
    page.execute_script("arguments[0].click()", row)
    page.execute_script("return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert panel.get_attribute("open")
    widths = [each.get_attribute("naturalWidth") for each in panel.find_elements(By.TAG_NAME, "img")]
    assert len(widths) > 8
    assert "0" not in widths
    assert "python run_benchmark.py" in panel.text


def test_pictures_pause(page):
    moving = page.find_element(By.CSS_SELECTOR, ".betas .moving")
    assert moving.is_displayed()
    assert moving.size["width"] == moving.size["height"]
    assert page.execute_script("return arguments[0].getAnimations()[0].playState", moving) == "running"
    page.find_element(By.CSS_SELECTOR, ".pause").click()
    assert not moving.is_displayed()
    assert page.find_element(By.CSS_SELECTOR, ".betas .strip").is_displayed()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_what_they_stand_on(page, scheme):
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    contrasts = page.execute_script(
        """const light = colour => {
          const parts = colour.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255);
          const [r, g, b] = parts.map(part => part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4);
          return .2126 * r + .7152 * g + .0722 * b;
        };
        const paper = light(getComputedStyle(document.body).backgroundColor);
        return ["body", "a", ".faint", "caption", ".knows", ".mark"].map(selector => {
          const own = light(getComputedStyle(document.querySelector(selector)).color);
          return (Math.max(own, paper) + .05) / (Math.min(own, paper) + .05);
        })"""
    )
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert min(contrasts) > 4.5


def test_a_narrow_screen_scrolls_tables_and_not_the_page(page):
    size = {"width": NARROW, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
    width = page.execute_script("return document.documentElement.scrollWidth")
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert width <= NARROW


def test_a_request_would_be_seen(browser, file, tmp_path):
    changed = tmp_path / "changed.html"
    changed.write_text(file.read_text().replace("<main", '<img alt="" src="http://localhost:9/x.png"><main', 1))
    browser.get(changed.as_uri())
    assert "Content Security Policy" in browser.get_log("browser")[0]["message"]
    changed.write_text(re.sub("<meta http-equiv[^>]*>", "", changed.read_text()))
    browser.get(changed.as_uri())
    assert "http://localhost:9/x.png" in requests_of(browser)
    browser.get_log("browser")


def test_it_is_read_without_scripts(file, tmp_path):
    with browsing(tmp_path / "profile", "--blink-settings=scriptEnabled=false") as page:
        page.get(file.as_uri())
        assert "What beta buys and what it costs" in page.find_element(By.TAG_NAME, "main").text
        assert not page.find_element(By.CSS_SELECTOR, ".filters").is_displayed()
        assert not head(page, "sap").is_displayed()
        page.find_element(By.CSS_SELECTOR, ".block .all-columns").click()
        assert head(page, "sap").is_displayed()
        page.find_element(By.CSS_SELECTOR, ".panel summary").click()
        assert "specification" in page.find_element(By.CSS_SELECTOR, ".panel").text
        assert page.get_log("browser") == []
        assert {url.partition("#")[0] for url in requests_of(page)} <= {file.as_uri()}
