"""The page in Chromium: each page and action, by keyboard, narrow and wide, light and dark, and a run that moves."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from quarry_cli.client.api import Client
from quarry_core.models import pool_of
from quarry_core.text import STACKED_MAX
from tests.ui.browser import Served, wait
from tests.ui.scene import HEBREW, LONG, UNRULY, Scene
from tests.world.world import CLAUDE

NARROW, WIDE = 400, 1_600
POOL = pool_of("us-east-1", CLAUDE)
TABS = ("", "/shards", "/shards/00000", "/jobs", "/errors", "/rows", "/request")


# What is out of sight, though nobody may scroll there; the list of runs and of queues fits at every width.
BEYOND = """
const scrolled = (e) => e.closest('.scroll') && !(innerWidth < 600 && e.closest('.runs, .queues'));
return [...document.querySelectorAll('main *, header *')]
  .filter((e) => !scrolled(e) && !e.closest('.hidden, svg') && e.getBoundingClientRect().right > innerWidth + 1)
  .map((e) => e.outerHTML.slice(0, 160));
"""
# Numbers and ids that are broken into lines.
BROKEN = """
return [...document.querySelectorAll('td.n, td.whole .text, .tiles dd:not(.sub)')].filter((e) => {
  const range = document.createRange();
  range.selectNodeContents(e);
  return new Set([...range.getClientRects()].filter((r) => r.width > 1 && r.height > 8).map((r) => Math.round(r.bottom))).size > 1;
}).map((e) => e.outerHTML.slice(0, 160));
"""


def paths(served) -> dict[str, str]:
    scene = served.scene
    return {
        "runs": "/",
        "pools": "/pools",
        "limit": f"/pools/limit?{urlencode({'pool': POOL})}",
        "dead-letter messages": "/dead-letters",
        "many shards": f"/runs/{scene.big}/shards?page=24",
        "retry": f"/runs/{scene.hostile}/do/retry",
        "cancel": f"/runs/{scene.moving}/do/cancel",
        "share": f"/runs/{scene.moving}/do/share",
        "held": f"/runs/{scene.held}",
        "approve": f"/runs/{scene.held}/do/approve",
        "budget": f"/runs/{scene.held}/do/budget",
        "no such run": "/runs/nothing",
        "sign in": "/login?next=/",
        **{f"run{tab}": f"/runs/{scene.moving}{tab}" for tab in TABS},
        **{f"unruly{tab}": f"/runs/{scene.unruly}{tab}" for tab in TABS},
        **{f"hostile{tab}": f"/runs/{scene.hostile}{tab}" for tab in TABS},
    }


@pytest.mark.timeout(600)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_every_page_is_within_its_width_and_accessible_and_runs_nothing_strange(browser, served, width, dark):
    browser.look(width, dark=dark)
    browser.sign_in(served)
    browser.complaints()
    for name, path in paths(served).items():
        browser.open(served, path)
        assert browser.run("return document.documentElement.scrollWidth") <= width, name
        assert browser.run(BEYOND) == [], name
        assert browser.run(BROKEN) == [], name
        assert browser.run("return document.body.dataset.taken || ''") == "", name
        assert browser.run("return document.querySelectorAll('h1').length") == 1, name
        assert [found for found in browser.complaints() if "404" not in found] == [], name
        assert browser.findings() == [], name


def test_pictures_for_the_docs(browser, served):
    scene = served.scene
    browser.sign_in(served)
    for name, path, width, height, dark in (
        ("page-run.png", f"/runs/{scene.moving}", WIDE, 1_240, False),
        ("page-run-narrow.png", f"/runs/{scene.moving}", NARROW, 1_000, True),
        ("page-shards.png", f"/runs/{scene.big}/shards?page=24", WIDE, 900, False),
        ("page-runs-narrow.png", "/", NARROW, 1_000, False),
    ):
        browser.look(width, height, dark=dark)
        browser.open(served, path)
        browser.picture(name)


def test_the_keyboard_goes_everywhere(browser, served):
    browser.look(WIDE)
    browser.sign_in(served)
    browser.open(served, "/")
    press(browser, Keys.TAB)
    assert focused(browser).text == "Skip to content"
    assert browser.run("return document.activeElement.getBoundingClientRect().left") >= 0
    press(browser, Keys.ENTER)
    assert browser.run("return document.activeElement.id") == "main"
    reached = []
    for _ in range(12):
        press(browser, Keys.TAB)
        reached.append(browser.run("const a = document.activeElement; return a.id || a.textContent.trim()"))
    assert [each for each in reached if each in ("name", "model", "state", "Filter")] == [
        "name",
        "model",
        "state",
        "Filter",
    ]
    assert any(each.startswith("run-") for each in reached)
    assert browser.run("return getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_arrows_move_in_the_grid_which_is_one_stop_of_the_tab_key(browser, served):
    browser.look(WIDE)
    browser.sign_in(served)
    browser.open(served, f"/runs/{served.scene.big}/shards?page=3")
    cells = browser.driver.find_elements(By.CSS_SELECTOR, ".grid .cell")
    assert len(cells) == 500
    browser.run("arguments[0].focus()", cells[0])

    def at() -> str:
        return focused(browser).get_attribute("href").rpartition("/")[2]

    columns = browser.run(
        "const c=[...document.querySelectorAll('.grid .cell')], t=c[0].getBoundingClientRect().top;"
        "return c.findIndex((e) => e.getBoundingClientRect().top > t + 1)"
    )
    for key, place in (
        (Keys.ARROW_RIGHT, 1),
        (Keys.ARROW_DOWN, 1 + columns),
        (Keys.ARROW_LEFT, columns),
        (Keys.END, 499),
    ):
        press(browser, key)
        assert at() == f"{3_000 + 2 * place:05d}"
    assert browser.run("return document.querySelectorAll('.grid .cell[tabindex=\"0\"]').length") == 1
    press(browser, Keys.ENTER)
    wait(lambda: "/shards/03998" in browser.driver.current_url, "the shard is open")


@pytest.mark.timeout(300)
def test_a_run_moves_while_somebody_watches(browser):
    scene = Scene()
    run_id = scene.moving_run(900, ended=1)
    with Served(scene, write=True) as served:
        browser.look(WIDE)
        browser.sign_in(served)
        browser.open(served, f"/runs/{run_id}")
        done = rows_done(browser)
        browser.run("document.getElementById('to-shards').focus(); window.kept = 'the same page'")
        for _ in range(2):
            scene.step()
        wait(lambda: rows_done(browser) > done, "more rows are done")
        assert browser.run("return document.activeElement.id") == "to-shards"
        assert browser.run("return window.kept") == "the same page"
        assert " %" in browser.driver.title

        with scene.lock:
            scene.finish(run_id)
        wait(lambda: "Succeeded" in text_of(browser, "#live"), "the end is shown")
        assert "succeeded now" in browser.run("return document.getElementById('moved').textContent")
        assert browser.run("return document.getElementById('live').hasAttribute('hx-get')") is False


@pytest.mark.timeout(300)
def test_silence_is_said_and_ends_by_itself(browser):
    scene = Scene()
    run_id = scene.moving_run(900, ended=1)
    with Served(scene, write=False) as served:
        browser.look(NARROW)
        browser.sign_in(served)
        query = scene.world.table.get

        async def refuse(_key):
            from quarry_core.errors import Throttled

            raise Throttled("Rate exceeded")

        browser.open(served, f"/runs/{run_id}")
        scene.world.clock.advance(10)
        scene.world.table.get = refuse
        wait(lambda: "No answer" in text_of(browser, "#silent"), "the silence is said")
        assert "of 900 rows" in text_of(browser, "#live")
        scene.world.table.get = query
        wait(lambda: text_of(browser, "#silent") == "", "it is over")


@pytest.mark.timeout(300)
def test_each_action_is_asked_about_and_done(browser):
    scene = Scene()
    held = scene.held_run()
    run_id = scene.moving_run(900, ended=1)
    with Served(scene, write=True) as served:
        browser.look(WIDE)
        browser.sign_in(served)

        def do(title: str, said: str, of: str = run_id, **fields: str) -> None:
            browser.open(served, f"/runs/{of}")
            browser.driver.find_element(By.LINK_TEXT, title).click()
            for name, value in fields.items():
                field = browser.driver.find_element(By.ID, name)
                if field.tag_name == "input":
                    field.clear()
                field.send_keys(value)
            browser.driver.find_element(By.CSS_SELECTOR, "main form button").click()
            wait(lambda: said in text_of(browser, "#h-done"), said)

        do("Pause", "The run is paused.")
        browser.open(served, f"/runs/{run_id}")
        assert "paused" in text_of(browser, "#live")
        do("Change share", "class is high, its weight 9", **{"class": "high", "weight": "9"})
        do("Resume", "The run goes on.")
        do("Set budget", "The run's budget is $25.00.", budget_usd="25")
        do("Approve", "The run is approved, and goes on.", of=held)
        do("Cancel", "The run is cancelled.")
        browser.open(served, f"/runs/{run_id}")
        assert browser.driver.find_elements(By.LINK_TEXT, "Cancel") == []


@pytest.mark.timeout(300)
def test_a_pools_limit_is_set_by_keyboard(browser):
    scene = Scene()
    scene.moving_run(400, ended=0)
    with Served(scene, write=True) as served:
        browser.look(NARROW)
        browser.sign_in(served)
        browser.open(served, "/pools")
        browser.run("document.getElementById('limit-1').focus()")
        press(browser, Keys.ENTER)
        wait(lambda: "may be active at once?" in text_of(browser, "#h-ask"), "it is asked")
        browser.run("document.getElementById('limit').focus()")
        press(browser, "3", Keys.TAB, "calm night", Keys.ENTER)
        wait(lambda: "goes by 3 now" in text_of(browser, "#h-done"), "it is set")
        assert browser.findings() == []
        browser.open(served, "/pools")
        assert "Set to 3 by hand" in text_of(browser, "#pools")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_dead_letter_messages_that_were_shown_are_moved_back_after_a_question(browser, monkeypatch, dark):
    monkeypatch.setenv("QUARRY_MANIFEST_QUEUE_URL", "https://queue/manifests")
    scene = Scene()
    scene.dead_letter("manifests", '{"a": 1}', "the bucket was closed")
    with Served(scene, write=True) as served:
        browser.look(NARROW, dark=dark)
        browser.sign_in(served)
        browser.open(served, "/dead-letters")
        browser.driver.find_element(By.CSS_SELECTOR, "td form button").click()
        wait(lambda: "the bucket was closed" in text_of(browser, "main"), "the message is shown")
        browser.driver.find_element(By.CSS_SELECTOR, "main > form button").click()
        wait(lambda: "Is the cause fixed?" in text_of(browser, "#h-ask"), "it is asked")
        assert browser.findings() == []
        assert len(scene.dead_letters["manifests"].bodies) == 1
        browser.driver.find_element(By.CSS_SELECTOR, "main form button").click()
        wait(lambda: "1 message moved back to manifests." in text_of(browser, "#h-done"), "it is moved")
        assert browser.findings() == []
        assert scene.dead_letters["manifests"].bodies == ()
        assert scene.world.queues["manifests"].bodies == ('{"a": 1}',)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_the_report_that_is_mailed_is_within_its_width_and_accessible_and_runs_nothing(
    browser, served, tmp_path, width, dark
):
    path = tmp_path / "report.html"
    browser.look(width, dark=dark)
    for run_id in (served.scene.hostile, served.scene.unruly, served.scene.ended_run):
        path.write_bytes(Client(served.scene.connect).report(run_id, rows=5, prompt=True))
        browser.complaints()
        browser.driver.get(path.as_uri())
        assert browser.run("return document.documentElement.scrollWidth") <= width
        assert browser.run("return document.body.dataset.taken || ''") == ""
        assert browser.complaints() == []
        assert browser.findings() == []


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_an_unruly_dead_letter_stays_within_its_width(browser, monkeypatch, width):
    monkeypatch.setenv("QUARRY_MANIFEST_QUEUE_URL", "https://queue/manifests")
    scene = Scene()
    scene.dead_letter("manifests", UNRULY, UNRULY)
    with Served(scene, write=True) as served:
        browser.look(width)
        browser.sign_in(served)
        browser.open(served, "/dead-letters")
        assert browser.run(BEYOND) == []
        browser.driver.find_element(By.CSS_SELECTOR, "td form button").click()
        wait(lambda: HEBREW in text_of(browser, "main"), "the message is shown")
        assert browser.run("return document.documentElement.scrollWidth") <= width
        assert browser.run(BEYOND) == []
        assert browser.findings() == []


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_who_set_a_limit_and_why_stays_within_its_width(browser, width):
    scene = Scene()
    scene.moving_run(400, ended=0)
    with Served(scene, write=True) as served:
        browser.look(width)
        browser.sign_in(served)
        path = f"/pools/limit?{urlencode({'pool': POOL})}"
        browser.open(served, path)
        browser.driver.find_element(By.ID, "limit").send_keys("3")
        browser.driver.find_element(By.ID, "reason").send_keys(LONG[:200])
        browser.driver.find_element(By.CSS_SELECTOR, "main form button").click()
        wait(lambda: "goes by 3 now" in text_of(browser, "#h-done"), "it is set")
        for shown in (path, "/pools"):
            browser.open(served, shown)
            assert browser.run("return document.documentElement.scrollWidth") <= width
            assert browser.run(BEYOND) == []


def test_a_heap_of_marks_covers_no_other_line(browser, served):
    browser.look(WIDE)
    browser.sign_in(served)
    browser.open(served, f"/runs/{served.scene.unruly}/request")
    most = browser.run(
        "return Math.max(...[...document.querySelectorAll('pre.text')].map((e) => (e.textContent.match(/\\p{Mn}+/gu) || ['']).map((m) => m.length)).flat())"
    )
    assert 0 < most <= STACKED_MAX


def test_dead_letters_are_shown_when_asked_for(browser, served):
    browser.look(WIDE)
    browser.sign_in(served)
    browser.open(served, "/dead-letters")
    assert "<b>" not in text_of(browser, "main")
    browser.driver.find_element(By.CSS_SELECTOR, "td form button").click()
    wait(lambda: "<b>bold</b>" in text_of(browser, "main"), "the message is shown as text")
    assert browser.driver.find_elements(By.CSS_SELECTOR, "main pre b") == []


def test_a_page_of_elsewhere_cannot_sign_anybody_in_or_read(browser, served):
    browser.driver.delete_all_cookies()
    browser.open(served, "/pools")
    wait(lambda: "/login" in browser.driver.current_url, "the token is asked for")
    browser.driver.find_element(By.ID, "token").send_keys("wrong" * 8)
    browser.driver.find_element(By.CSS_SELECTOR, "main form button").click()
    wait(lambda: "not the token" in text_of(browser, "main"), "it is refused")


def focused(browser):
    return browser.driver.switch_to.active_element


def press(browser, *keys: str) -> None:
    """Whatever has the focus: a list that is asked for again meanwhile has new elements."""
    ActionChains(browser.driver).send_keys(*keys).perform()


def text_of(browser, selector: str) -> str:
    return browser.run("const e = document.querySelector(arguments[0]); return e ? e.innerText : ''", selector)


def rows_done(browser) -> int:
    text = browser.run("const e = document.querySelector('.hero .big span'); return e ? e.textContent : ''")
    return int(text.split()[0].replace(",", "")) if text else 0
