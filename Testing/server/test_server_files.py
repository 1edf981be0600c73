"""Uploads in parts with checksums, downloads, and names that lead nowhere else."""

from __future__ import annotations

import hashlib
import os

import pytest

pytestmark = pytest.mark.slow


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(server, name: str, data: bytes, user="anna", offset=0, end=None, whole=None, **changed):
    piece = data[offset:end]
    given = {"size": len(data), "sha256": whole or sha(data), "offset": offset, "piece_sha256": sha(piece), **changed}
    return server.ask("PUT", f"/v1/files/{name}", user, params=given, data=piece)


def missing(server, name: str, data: bytes, user="anna"):
    wanted = [{"name": name, "size": len(data), "sha256": sha(data)}]
    answer = server.ask("POST", "/v1/files/missing", user, json={"files": wanted})
    return answer.json()["missing"]


def test_an_upload_goes_on_where_it_broke_off_also_after_a_kill(server):
    data = os.urandom(300_000)
    assert put(server, "a/x.npy", data, end=100_000).json() == {"offset": 100_000, "complete": False}
    server.kill()
    server.start()
    assert missing(server, "a/x.npy", data) == [{"name": "a/x.npy", "offset": 100_000}]
    wrong = put(server, "a/x.npy", data, offset=50_000)
    assert (wrong.status_code, wrong.json()["code"]) == (409, "wrong-offset")
    assert put(server, "a/x.npy", data, offset=100_000).json() == {"offset": 300_000, "complete": True}
    assert missing(server, "a/x.npy", data) == []
    got = server.ask("GET", "/v1/files/a/x.npy", "anna")
    assert got.content == data
    assert got.headers["X-SHA256"] == sha(data)
    assert got.headers["accept-ranges"] == "bytes"


def test_damaged_pieces_and_files_are_refused(server):
    data = b"x" * 1000
    assert put(server, "b.npy", data, piece_sha256="0" * 64).json()["code"] == "checksum"
    assert put(server, "b.npy", data, whole="1" * 64).json()["code"] == "checksum"
    assert server.ask("GET", "/v1/files/b.npy", "anna").status_code == 404
    assert put(server, "b.npy", data).json()["complete"]


def test_what_is_there_under_another_name_is_not_sent_again(server):
    data = os.urandom(1000)
    put(server, "c/one.npy", data)
    assert missing(server, "c/two.npy", data) == []
    assert server.ask("GET", "/v1/files/c/two.npy", "anna").content == data
    assert missing(server, "c/two.npy", data, user="bob")  # what another user has is not there
    assert server.ask("DELETE", "/v1/files/c/one.npy", "anna").status_code == 200
    assert server.ask("GET", "/v1/files/c/two.npy", "anna").content == data


@pytest.mark.parametrize(
    "name",
    [
        "%2e%2e/x",
        "a/%2e%2e/%2e%2e/x",
        "%2Fetc%2Fpasswd",
        "a%5C..%5Cx",
        ".hidden",
        "a//b",
        "CON",
        "C:x",
        "a%00b",
        "%20x",
    ],
)
def test_names_that_lead_elsewhere_are_refused(server, name):
    for answer in (put(server, name, b"x"), *(server.ask(m, f"/v1/files/{name}", "anna") for m in ("GET", "DELETE"))):
        assert answer.status_code in (404, 422)
        assert set(answer.json()) == {"code", "sentence"}
    assert not list(server.folder.glob("x"))


def test_links_lead_nowhere(server):
    files = server.folder_of("anna") / "files"
    put(server, "d/here.npy", b"x")
    (files / "d" / "away").symlink_to(server.folder)
    (files / "d" / "tokens.json").symlink_to(server.folder / "tokens.json")
    for name in ("d/away/tokens.json", "d/tokens.json"):
        assert server.ask("GET", f"/v1/files/{name}", "anna").json()["code"] == "bad-path"
        assert put(server, name, b"x").json()["code"] == "bad-path"
    listed = server.ask("GET", "/v1/files", "anna", params={"folder": "d"}).json()["files"]
    assert [each["name"] for each in listed] == ["here.npy"]


def test_a_file_stands_in_no_folders_place(server):
    put(server, "e/x.npy", b"x")
    assert put(server, "e", b"y").json()["code"] == "bad-path"
    assert put(server, "e/x.npy/z", b"y").json()["code"] == "bad-path"


def test_nobody_sees_anothers_files(server):
    put(server, "mine.npy", b"x")
    assert server.ask("GET", "/v1/files/mine.npy", "bob").status_code == 404
    assert server.ask("GET", "/v1/files", "bob").json() == {"files": []}
    for user, code in ((None, 401), ("bob", 404)):
        assert server.ask("DELETE", "/v1/files/mine.npy", user).status_code == code


def test_limits_are_sentences(narrow_server):
    big = os.urandom(1_200_000)
    answer = put(narrow_server, "big.npy", big, end=1000)
    assert (answer.status_code, answer.json()["code"]) == (413, "file-too-large")
    codes = [put(narrow_server, f"{n}.npy", os.urandom(900_000)).status_code for n in range(6)]
    assert codes == [200, 200, 200, 200, 507, 507]
    assert put(narrow_server, "0.npy", os.urandom(900_000), user="bob").status_code == 200
    body = narrow_server.ask("POST", "/v1/files/missing", "anna", data=b"x" * (17 << 20))
    assert (body.status_code, body.json()["code"]) == (413, "too-large")
    chunks = narrow_server.ask("POST", "/v1/files/missing", "anna", data=iter([b"x" * (1 << 20)] * 17))
    assert (chunks.status_code, chunks.json()["code"]) == (413, "too-large")
