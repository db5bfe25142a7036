"""Access and limits: a test for each promise of rlhf/web/README.md."""

import asyncio

import pytest

from rlhf.web.security import HEADERS, LONGEST_BODY
from rlhf.web.sessions import COOKIE, Cookies, Session
from tests.rlhf.web.conftest import JOIN, TEACHER


def test_on_ones_own_machine_one_person_is_student_and_teacher(local_app, browser):
    page = browser(local_app).get("/")
    assert page.status_code == 200
    assert 'href="/teacher"' in page.text


def test_in_a_classroom_nobody_gets_further_than_the_door_without_the_code(class_app, browser):
    guest = browser(class_app)
    assert guest.get("/label", follow_redirects=False).headers["location"] == "/join"
    assert guest.get("/label", headers={"Accept": "application/json"}).status_code == 401
    assert guest.join("Ada", "WRONG2").status_code == 400
    assert guest.get("/", follow_redirects=False).status_code == 303
    assert guest.join("Ada").status_code == 303
    assert guest.get("/").status_code == 200


def test_a_student_does_not_reach_the_teachers_pages(class_app, browser):
    student, teacher = browser(class_app), browser(class_app)
    student.join("Ada")
    teacher.join("Grace", TEACHER)
    assert student.get("/teacher").status_code == 403
    assert student.get("/teacher/anything").status_code == 403
    assert 'href="/teacher"' in teacher.get("/").text


def test_wrong_codes_are_counted_and_then_the_right_one_has_to_wait(class_app, browser, monkeypatch):
    from rlhf.web.pages import me

    monkeypatch.setattr(me, "WRONG_CODES", me.Buckets(rate=0.0001, size=3))
    guest = browser(class_app)
    assert [guest.join("Ada", "WRONG2").status_code for _ in range(3)] == [400] * 3
    assert "too many wrong codes" in guest.join("Ada", JOIN).text


def test_return_codes_cannot_be_tried_out_either(class_app, browser, monkeypatch):
    from rlhf.web.pages import me

    monkeypatch.setattr(me, "WRONG_CODES", me.Buckets(rate=0.0001, size=3))
    browser(class_app).join("Ada")
    guest = browser(class_app)
    for _ in range(5):  # somebody else of that name, who has no code and guesses none
        assert "somebody here is called Ada" in guest.join("Ada").text
    for _ in range(3):
        assert "somebody here is called Ada" in guest.join("Ada", return_code="WRONG2").text
    assert "too many wrong codes" in guest.join("Ada", return_code="WRONG2").text


def test_a_name_that_somebody_has_needs_the_return_code(class_app, browser):
    ada, other = browser(class_app), browser(class_app)
    ada.join("Ada")
    code = class_app.state.store.row("SELECT return_code FROM people")["return_code"]
    assert code in ada.get("/me").text
    assert "somebody here is called Ada" in other.join("ada").text
    assert other.join("ada", return_code=code.lower()).status_code == 303
    assert class_app.state.store.row("SELECT count(*) FROM people")[0] == 1


@pytest.mark.parametrize("name", ["", "  ", "x" * 41, "a\x00b", "a\u202eb"])
def test_a_name_is_short_and_printable(class_app, browser, name):
    assert browser(class_app).join(name).status_code == 400


# ---- Cookies and tokens ------------------------------------------------------------------------------------------


def test_a_cookie_that_was_changed_or_signed_by_another_is_none(class_app, browser):
    ada = browser(class_app)
    ada.join("Ada")
    good = ada.cookies[COOKIE]
    payload, *rest = good.split(".")
    forged = Cookies("another key").header(Session(person_id=1, teacher=True)).split(";")[0].split("=", 1)[1]
    for cookie in ("", "x", "x" * 4000, ".".join([payload[:-2] + "AA", *rest]), good[:-1] + "!", forged):
        ada.cookies.set(COOKIE, cookie, domain="127.0.0.1")
        assert (
            browser(class_app).get("/", headers={"Cookie": f"{COOKIE}={cookie}"}, follow_redirects=False).status_code
            == 303
        )
    assert browser(class_app).get("/", headers={"Cookie": f"{COOKIE}={good}"}).status_code == 200


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(class_app, browser):
    cookie = browser(class_app).get("/join").headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_coming_in_changes_the_token_so_that_one_planted_before_is_worth_nothing(class_app, browser):
    ada = browser(class_app)
    before = ada.token()
    ada.submit("/join", name="Ada", code=JOIN)
    assert ada.post("/me/leave", data={"csrf": before}, follow_redirects=False).status_code == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_whatever_changes_something_carries_the_token(local_app, browser, method):
    ada = browser(local_app)
    token = ada.token()
    assert ada.request(method, "/me/delete").status_code == 403
    assert ada.request(method, "/me/delete", headers={"X-CSRF-Token": "x" * len(token)}).status_code == 403
    other = browser(local_app).token()
    assert ada.request(method, "/me/delete", headers={"X-CSRF-Token": other}).status_code == 403
    right = ada.request(method, "/me/delete", headers={"X-CSRF-Token": token}, follow_redirects=False)
    assert right.status_code == (303 if method == "POST" else 405)


def test_a_browser_that_says_that_another_site_sends_the_form_is_believed(local_app, browser):
    ada = browser(local_app)
    headers = {"X-CSRF-Token": ada.token(), "Sec-Fetch-Site": "cross-site"}
    assert ada.post("/me/delete", headers=headers).status_code == 403


# ---- Headers, hosts, limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["/", "/join", "/static/site.css", "/nothing", "/static/../app.py"])
def test_every_answer_carries_the_headers(local_app, browser, address):
    headers = browser(local_app).get(address).headers
    assert {name: headers.get(name) for name in HEADERS} == HEADERS
    assert "unsafe" not in headers["content-security-policy"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "10.0.0.7"])
def test_another_hosts_name_is_refused_on_ones_own_machine(local_app, browser, host):
    assert browser(local_app).get("/", headers={"Host": host}).status_code == 400


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000"])
def test_its_own_names_are_not(local_app, browser, host):
    assert browser(local_app).get("/", headers={"Host": host}).status_code == 200


def test_in_a_classroom_addresses_and_given_names_are_ours(make_app, browser):
    app = make_app(classroom=True, host_names=("class.example",))
    for host, status in (("10.0.0.7:8000", 200), ("class.example", 200), ("evil.example", 400)):
        assert browser(app).get("/join", headers={"Host": host}).status_code == status


def test_a_body_that_is_too_long_is_refused_read_or_not(local_app, browser):
    ada = browser(local_app)
    headers = {"X-CSRF-Token": ada.token(), "Content-Type": "application/json"}
    assert ada.post("/join", content=b"x" * (LONGEST_BODY + 1), headers=headers).status_code == 413
    chunks = (b"x" * 1000 for _ in range(LONGEST_BODY // 1000 + 2))  # without a length
    assert ada.post("/join", content=chunks, headers=headers).status_code == 413


def test_a_body_that_does_not_come_is_not_waited_for(local_app, browser, monkeypatch):
    monkeypatch.setattr("rlhf.web.security.BODY_SECONDS", 0.05)
    ada = browser(local_app)
    headers = {"x-csrf-token": ada.token(), "content-type": "application/json", "host": "localhost"}
    cookie = f"{COOKIE}={ada.cookies[COOKIE]}"
    scope = {"type": "http", "method": "POST", "path": "/join", "query_string": b"", "headers": []}
    scope["headers"] = [(name.encode(), value.encode()) for name, value in {**headers, "cookie": cookie}.items()]
    sent = []

    async def receive():
        await asyncio.sleep(60)

    async def send(message):
        sent.append(message)

    asyncio.run(asyncio.wait_for(local_app(scope, receive, send), 10))
    assert sent[0]["status"] == 408


def test_files_cannot_be_sent(local_app, browser):
    ada = browser(local_app)
    files = {"file": ("x.txt", b"hello")}
    assert ada.post("/join", files=files, headers={"X-CSRF-Token": ada.token()}).status_code == 415


def test_a_person_who_asks_too_often_waits_and_others_do_not(make_app, browser):
    app = make_app(classroom=True, join_code=JOIN, requests_per_second=2.0)
    ada, bob = browser(app), browser(app)
    ada.join("Ada")
    bob.join("Bob")
    assert 429 in [ada.get("/").status_code for _ in range(15)]
    assert bob.get("/").status_code == 200


def test_a_bug_of_ours_shows_nobody_a_traceback(local_app, browser, monkeypatch):
    def fail(*_):
        raise RuntimeError("the secret of the server")

    monkeypatch.setattr("rlhf.web.pages.home.stages", fail)
    answer = browser(local_app).get("/")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_what_was_refused_is_told_in_the_terminal_on_one_line(class_app, browser, caplog):
    guest = browser(class_app)
    guest.post("/me/delete%1B[2Jforged")
    guest.join("Ada", "WRONG2")
    lines = [record.getMessage() for record in caplog.records if record.name == "classroom"]
    assert lines == [
        r"refused 403: POST '/me/delete\x1b[2Jforged' from testclient",
        "wrong code: POST '/join' from testclient",
    ]


# ---- Markup ------------------------------------------------------------------------------------------------------


def test_a_name_is_never_read_as_html(class_app, browser):
    ada = browser(class_app)
    name = '<b>"x"</b>'
    ada.join(name)
    for address in ("/", "/me"):
        page = ada.get(address).text
        assert name not in page
        assert "&lt;b&gt;" in page


def test_no_template_has_a_script_or_a_style_in_it():
    from rlhf.web.rendering import TEMPLATES

    for template in TEMPLATES.list_templates():
        source = TEMPLATES.loader.get_source(TEMPLATES, template)[0]
        for forbidden in (
            "<style",
            " style=",
            "onclick=",
            "onload=",
            "javascript:",
            "| safe",
            "|safe",
            "autoescape false",
        ):
            assert forbidden not in source, f"{template} has {forbidden}: the policy forbids it, or nothing escapes it"
        assert source.count("<script") == source.count('<script type="module" src="/static/'), (
            f"{template}: inline script"
        )
