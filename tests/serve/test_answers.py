"""What the service answers to one request."""

import base64
import json
import re
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BytesIO
from typing import Any
from urllib.parse import urljoin

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from python_multipart.multipart import parse_options_header
from result_documents import SCHEMA as RESULT_SCHEMA
from result_documents import check_result
from serving import DOTS, POISON, Stub, app_of, picture

from spcnet.serve.app import SCRIPTS
from spcnet.serve.errors import RequestError
from spcnet.serve.limits import Limits
from spcnet.serve.uploads import parse
from spcnet.skeletons import SKELETONS, Skeleton

Serve = Callable[..., TestClient]


@pytest.fixture
def stub() -> Stub:
    return Stub()


@pytest.fixture
def serve(stub: Stub) -> Iterator[Serve]:
    """Makes a client of a service with some limits."""
    with ExitStack() as services:
        yield lambda **limits: TestClient(services.enter_context(app_of(stub, **limits)))


def post(client: TestClient, content: bytes, **fields: str) -> Any:
    return client.post("/v1/poses", files={"image": ("a photo.png", content)}, data=fields)


def as_json(content: bytes, **fields: Any) -> dict[str, Any]:
    return {"image": base64.b64encode(content).decode(), **fields}


def refused(response: Any, status: int, code: str, told: str = "") -> None:
    """The answer is a refusal of the one form, in one line."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(response.json()) == {"error"} and set(error) == {"code", "message"}
    assert error["code"] == code
    assert told in error["message"]
    assert "\n" not in error["message"]


def test_what_is_asked_in_the_address_is_not_passed_over(serve: Serve) -> None:
    files = {"image": ("a.png", picture())}
    answer = serve().post("/v1/poses?people=all", files=files)
    refused(answer, 422, "bad_request", "query parameter 'people': what is asked of a picture is a")


def test_a_form_is_answered_with_named_joints_of_the_picture(serve: Serve) -> None:
    response = post(serve(), picture(at=(7, 5)))
    assert response.status_code == 200
    answer = check_result(response.json())
    assert answer["images"] == [{"id": 1, "file_name": "a photo.png", "width": 40, "height": 30}]
    (person,) = answer["annotations"]
    assert person == {
        "id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0,
        "keypoints": [7.0, 5.0, 2, 0.0, 0.0, 1], "num_keypoints": 2,
        "bbox": [0.0, 0.0, 39.0, 29.0], "area": 39.0 * 29.0,
        "keypoint_scores": [0.75, 0.25], "score": 0.5,
    }  # fmt: skip
    (category,) = answer["categories"]
    assert (category["keypoints"], category["skeleton"]) == (list(DOTS.joints), [[1, 2]])
    assert answer["info"]["description"].endswith("model stub, on paper")
    assert answer["info"]["method"]["persons"]["people"] == "one"


def test_a_form_and_json_say_the_same(serve: Serve) -> None:
    client = serve()
    boxes = [[1, 2, 20, 25], [3, 4, 12.5, 13]]
    form = post(client, picture(), boxes=json.dumps(boxes)).json()
    named = {"boxes": boxes, "file_name": "a photo.png"}
    body = client.post("/v1/poses", json=as_json(picture(), **named)).json()
    assert form == check_result(body)
    corners = [[x, y, x + wide, y + high]
               for x, y, wide, high in (row["bbox"] for row in form["annotations"])]  # fmt: skip
    assert corners == boxes
    persons = form["info"]["method"]["persons"]
    assert (persons["kind"], persons["name"]) == ("boxes", "1,2,20,25 3,4,12.5,13")
    wrapped = base64.encodebytes(picture()).decode()  # as the command base64 prints it
    for image in (wrapped, "data:image/png;base64," + wrapped):
        again = client.post("/v1/poses", json={"image": image, **named})
        assert again.json() == body


def test_a_pictures_name_is_said_again_as_far_as_it_is_one(serve: Serve) -> None:
    client = serve()

    def name(sent: str, **fields: str) -> str:
        files = {"image": (sent, picture())}
        found = client.post("/v1/poses", files=files, data=fields).json()
        return str(check_result(found)["images"][0]["file_name"])

    assert name("dir/ü.png") == "ü.png"
    assert name("C:\\pictures\\a.png") == "a.png"
    assert name("x" * 300) == "x" * 255
    assert name("a.png", file_name="b.png") == "b.png"
    unnamed = client.post("/v1/poses", json=as_json(picture())).json()
    assert check_result(unnamed)["images"][0]["file_name"] == ""
    long = client.post("/v1/poses", json=as_json(picture(), file_name="x" * 256))
    refused(long, 422, "bad_request", "file_name: must have at most 255 characters")


def test_no_persons_in_boxes_are_no_poses(serve: Serve) -> None:
    response = post(serve(), picture(), boxes="[]")
    assert response.status_code == 200 and check_result(response.json())["annotations"] == []


def test_without_boxes_people_are_found_one_or_all_or_none(serve: Serve) -> None:
    client = serve()
    counts = {"one": 1, "all": 2}
    for people, count in counts.items():
        form = post(client, picture(), people=people).json()
        assert len(check_result(form)["annotations"]) == count
        assert form["info"]["method"]["persons"]["people"] == people
        named = {"people": people, "file_name": "a photo.png"}
        body = client.post("/v1/poses", json=as_json(picture(), **named)).json()
        assert form == body
    assert len(post(client, picture()).json()["annotations"]) == 1
    black = BytesIO()
    Image.new("RGB", (20, 20)).save(black, "PNG")
    nobody = post(client, black.getvalue(), people="all")
    assert (nobody.status_code, nobody.json()["annotations"]) == (200, [])
    wrong = post(client, picture(), people="many")
    refused(wrong, 422, "bad_request", "people: must be 'one' or 'all', got \"many\"")


def test_all_people_and_boxes_are_two_wishes(serve: Serve) -> None:
    client, boxes = serve(), [[1, 2, 20, 25]]
    said = "people 'all' goes without boxes: leave out one of the two"
    refused(
        post(client, picture(), boxes=json.dumps(boxes), people="all"), 422, "bad_request", said
    )
    body = as_json(picture(), boxes=boxes, people="all")
    refused(client.post("/v1/poses", json=body), 422, "bad_request", said)
    assert (
        len(post(client, picture(), boxes=json.dumps(boxes), people="one").json()["annotations"])
        == 1
    )


def test_no_file_is_put_on_a_disk(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    client = serve()
    monkeypatch.setattr("tempfile.NamedTemporaryFile", lambda **_: pytest.fail("a file was made"))
    content = picture(form="BMP", width=1000, height=1000)
    assert len(content) == 3_000_054
    assert post(client, content).status_code == 200


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_every_format_that_is_promised_is_read(serve: Serve, form: str) -> None:
    (image,) = post(serve(), picture(form=form)).json()["images"]
    assert (image["width"], image["height"]) == (40, 30)


def test_points_are_of_the_upright_picture(serve: Serve) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    answer = post(serve(), picture(40, 30, at=(7, 5), exif=exif)).json()
    assert (answer["images"][0]["width"], answer["images"][0]["height"]) == (30, 40)
    assert answer["annotations"][0]["keypoints"][:2] == [29 - 5, 7]


def test_maps_are_stacked_in_one_grey_png(serve: Serve) -> None:
    client = serve()
    answer = post(client, picture(), heatmaps="true", attention="1", boxes="[[4, 4, 14, 24]]")
    (person,) = check_result(answer.json())["annotations"]
    heatmaps, attention = person["heatmaps"], person["attention"]
    assert {**heatmaps, "png": ""} == {
        "png": "", "count": 2, "width": 4, "height": 4, "region": [-3.5, 1.5, 21.5, 26.5],
    }  # fmt: skip
    assert (attention["count"], attention["width"]) == (4, 8)
    kind, data = heatmaps["png"].split(",")
    assert kind == "data:image/png;base64"
    cells = np.asarray(Image.open(BytesIO(base64.b64decode(data))))
    assert cells.shape == (8, 4)
    assert (cells[:4] == 255).all() and (cells[4:] == 0).all()
    only = post(client, picture(), heatmaps="true").json()["annotations"][0]
    assert "attention" not in only and "heatmaps" in only


def test_a_model_without_attention_says_so(serve: Serve, stub: Stub) -> None:
    stub.has_attention = False
    client = serve()
    assert client.get("/v1/service").json()["model"]["levels"] == 0
    refused(post(client, picture(), attention="true"), 422, "no_attention", "stub")
    assert post(client, picture()).status_code == 200


def test_what_is_no_picture_is_told_apart_from_what_is_broken(serve: Serve) -> None:
    client = serve()
    refused(post(client, b"hello"), 415, "not_a_picture", "JPEG")
    refused(post(client, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), 415,
            "not_a_picture")  # fmt: skip
    refused(post(client, b""), 422, "broken_picture", "empty")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    file = BytesIO()
    Image.fromarray(noise).save(file, format="JPEG")
    refused(post(client, file.getvalue()[:900]), 422, "broken_picture")


def test_a_decompression_bomb_is_refused_by_its_header(serve: Serve) -> None:
    bomb = picture(2000, 1000)
    cut = bomb[:60]  # the header alone: refused although its pixels could not be read
    for content in (bomb, cut):
        refused(post(serve(pixels=1_900_000), content), 413, "too_many_pixels", "2000 x 1000")


@pytest.mark.parametrize(
    ("boxes", "code", "told"),
    [
        ("[[1, 2, 3]]", "bad_boxes", "boxes.0.3"),
        ("[[1, 2, 3, 4, 5]]", "bad_boxes", "[[x0, y0, x1, y1], ...]"),
        ('[[1, 2, 3, "x"]]', "bad_boxes", 'got "x"; boxes are'),
        ("[1, 2, 3, 4]", "bad_boxes", "boxes.0"),
        ("[[1, 2", "bad_boxes", 'got "[[1, 2"; boxes are'),
        ("1,2,3,4", "bad_boxes", 'got "1,2,3,4"; boxes are'),
        ("[[9, 9, 3, 20]]", "bad_boxes", "9,9,3,20"),
        ("[[90, 9, 95, 20]]", "bad_boxes", "outside the picture"),
        ("[[0, 0, NaN, 4]]", "bad_boxes", "not finite"),
        ("[[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]]", "too_many_boxes", "at most 2"),
    ],
)
def test_faulty_boxes_are_named(serve: Serve, boxes: str, code: str, told: str) -> None:
    client = serve(boxes=2)
    refused(post(client, picture(), boxes=boxes), 422, code, told)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            b'{"image": "AAAA", "boxes": [' + b"[]," * 200_000 + b"[]]}",
            "at most 1200 are taken for 2 boxes",
        ),
        (
            b'{"image": "AAAA", "boxes": [' + b"1," * 5_000_000 + b"1]}",
            "at most 1200 are taken for 2 boxes",
        ),
        (b"[" + b'"",' * 3_000_000 + b"1]", "at most 1200 are taken for 2 boxes"),
        (b'{"image": "' + b"A" * 5_000_000 + b'", "boxes": [1, 2]}', "boxes.0"),
        (b'{"image": "' + rb"AA\/" * 900_000 + b'", "boxes": [1, 2]}', "boxes.0"),
    ],
)
def test_a_long_text_of_boxes_is_refused_before_it_is_taken_apart(
    serve: Serve, body: bytes, told: str
) -> None:
    client = serve(boxes=2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    response = client.post("/v1/poses", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 422 and told in response.json()["error"]["message"]
    if b'"boxes"' in body:
        text = body.partition(b'"boxes": ')[2].removesuffix(b"}").decode()
        form = post(client, picture(), boxes=text)
        assert form.status_code == 422 and told in form.json()["error"]["message"]
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 150_000  # kB; parsed, these are gigabytes


def test_a_json_string_without_end_is_refused_in_no_time(serve: Serve) -> None:
    body = b'{"image": "' + rb"\"" * 1_000_000
    kind = {"content-type": "application/json"}
    began = time.process_time()
    response = serve().post("/v1/poses", content=body, headers=kind)
    refused(response, 422, "bad_request", "body: faulty JSON: its last string has no end")
    assert time.process_time() - began < 5  # gone through from each of its quotes, for hours


@pytest.mark.parametrize("where", ["key", "skeleton", "people", "heatmaps", "image"])
def test_a_long_value_is_not_said_again(serve: Serve, where: str) -> None:
    long = "x" * 1_000_000
    fields = {long: 1} if where == "key" else {where: long if where != "image" else "!" + long}
    response = serve().post("/v1/poses", json=as_json(picture()) | fields)
    assert response.status_code == 422 and len(response.content) < 600


def test_maps_of_many_persons_are_refused(serve: Serve) -> None:
    boxes = json.dumps([[1, 2, 13, 14]] * 17)
    client = serve()
    assert post(client, picture(), boxes=boxes).status_code == 200
    refused(post(client, picture(), boxes=boxes, heatmaps="true"), 422, "too_many_boxes", "16")


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [
        (b"{", "bad_request", "body"),
        (b"[" * 100_000, "bad_request", ""),
        (b"[]", "bad_request", "body"),
        (b"{}", "bad_request", "image"),
        (b'{"image": 3}', "bad_request", "image"),
        (b'{"image": "!!"}', "bad_base64", "image"),
        (b'{"image": "AAAA", "box": []}', "bad_request", "box"),
        (b'{"image": "AAAA", "boxes": [[1, 2, 3]]}', "bad_request", "boxes.0.3"),
        (b"\xff\xfe", "bad_request", "body"),
    ],
)
def test_faulty_json_is_named(serve: Serve, body: bytes, code: str, told: str) -> None:
    response = serve().post("/v1/poses", content=body, headers={"content-type": "application/json"})
    refused(response, 422, code, told)


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        ("multipart/form-data", b"", "boundary"),
        ("multipart/form-data; boundary=x", b"", "boundary"),
        ("multipart/form-data; boundary=x", b"--x\r\nbroken", "multipart"),
        ("multipart/form-data; boundary=x",
         b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\nabc', "last boundary"),
        ("multipart/form-data; boundary=x",
         b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nabc\r\n--x--\r\n', "'file'"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nabc\r\n--x--\r\n", "image"),
        ("multipart/form-data; boundary=x",
         2 * b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\nabc\r\n' + b"--x--\r\n",
         "two parts"),
    ],
    ids=range(7),
)  # fmt: skip
def test_faulty_forms_are_named(serve: Serve, kind: str, body: bytes, told: str) -> None:
    response = serve().post("/v1/poses", content=body, headers={"content-type": kind})
    refused(response, 422, "bad_request", told)


@pytest.mark.parametrize(("name", "wrong"), [("p{n}", "p0"), ("boxes", "boxes")])
def test_a_form_of_many_parts_is_read_no_further_than_the_first_wrong_one(
    name: str, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = []

    def head(value: Any) -> Any:
        heads.append(value)
        return parse_options_header(value)

    monkeypatch.setattr("python_multipart.multipart.parse_options_header", head)
    part = '--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n\r\n'
    body = "".join(part.format(name=name.format(n=n)) for n in range(1000))
    with pytest.raises(RequestError, match=f"'{wrong}'") as refusal:
        parse(body.encode(), "multipart/form-data; boundary=x", Limits())
    assert refusal.value.code == "bad_request"
    assert len(heads) <= 2


def test_flags_that_are_none_are_named(serve: Serve) -> None:
    refused(post(serve(), picture(), heatmaps="perhaps"), 422, "bad_request", "heatmaps")


def test_another_content_type_is_refused(serve: Serve) -> None:
    for headers in ({"content-type": "image/png"}, {}):
        response = serve().post("/v1/poses", content=picture(), headers=headers)
        refused(response, 415, "unsupported_type", "multipart/form-data")


def test_unknown_paths_and_methods_have_the_same_form(serve: Serve) -> None:
    client = serve()
    refused(client.get("/nothing"), 404, "not_found")
    refused(client.get("/v1/poses"), 405, "method_not_allowed")


def test_a_failing_network_is_an_internal_error_without_details(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    client = serve()
    response = post(client, picture(corner=POISON))
    refused(response, 500, "internal")
    assert "poison" not in response.text and "poison" in caplog.text
    assert post(client, picture()).status_code == 200


def test_every_answer_keeps_the_page_to_itself(serve: Serve) -> None:
    client = serve()
    answers = [client.get(path) for path in ("/", "/page.js", "/docs", "/nothing", "/metrics")]
    for answer in [*answers, post(client, picture()), post(client, b"")]:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy and "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


def test_the_pages_name_nothing_from_elsewhere(serve: Serve) -> None:
    client = serve()
    for path in ("/", "/docs", *(f"/{name}" for name in SCRIPTS), "/style.css", "/icon.svg"):
        answer = client.get(path)
        assert answer.status_code == 200, path
        text = answer.text.replace("http://www.w3.org/2000/svg", "").replace("http://HOST:PORT", "")
        assert "://" not in text, path
        if "html" in answer.headers["content-type"]:
            assert "<script>" not in text and "style=" not in text and " onclick" not in text


def test_the_description_is_complete(serve: Serve) -> None:
    client = serve()
    description = client.get("/openapi.json").json()
    paths = {"/v1/poses", "/v1/video", "/v1/service", "/healthz", "/metrics"}
    assert set(description["paths"]) == paths
    (form,) = description["paths"]["/v1/video"]["post"]["requestBody"]["content"].values()
    assert form["schema"]["required"] == ["video"]
    operation = description["paths"]["/v1/poses"]["post"]
    assert set(operation["requestBody"]["content"]) == {"multipart/form-data", "application/json"}
    assert set(operation["responses"]) >= {"200", "408", "413", "415", "422", "503", "504"}
    schemas = description["components"]["schemas"]
    assert "Error" in schemas
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer == RESULT_SCHEMA
    bare = [
        f"{name}.{key}"
        for name in ("ModelAnswer", "ErrorBody", "LimitsAnswer")
        for key, value in schemas[name]["properties"].items()
        if "examples" not in value
    ]
    assert bare == []
    assert client.get("/redoc").status_code == 404


def test_the_service_describes_itself(serve: Serve) -> None:
    about = serve(picture_bytes=3_000_000, boxes=7).get("/v1/service").json()
    assert about["limits"] == {
        "megabytes": 3.0, "megapixels": 50.0, "boxes": 7, "maps": 16, "seconds": 30.0,
        "video_seconds": 20.0, "video_frames": 600,
    }  # fmt: skip
    assert about["model"]["levels"] == 4


def test_joints_are_answered_as_the_skeleton_that_is_asked_for(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    swapped = Skeleton("swapped", ("right_dot", "left_dot"), (("left_dot", "right_dot"),))
    monkeypatch.setitem(SKELETONS, "swapped", swapped)
    client = serve()
    content = picture(at=(7, 5))
    for response in (
        post(client, content, skeleton="swapped", heatmaps="true"),
        client.post("/v1/poses", json=as_json(content, skeleton="swapped", heatmaps=True)),
    ):
        answer = check_result(response.json())
        (person,), (category,) = answer["annotations"], answer["categories"]
        assert category["keypoints"] == ["right_dot", "left_dot"]
        assert person["keypoints"][3] == 7
        assert answer["info"]["method"]["skeleton"] == "swapped"
        assert category["skeleton"] == [[2, 1]]
        maps = Image.open(BytesIO(base64.b64decode(person["heatmaps"]["png"].partition(",")[2])))
        assert [maps.getpixel((0, row)) for row in (0, 4)] == [0, 255]  # the left one's is second


def test_a_skeleton_that_the_model_lacks_is_refused_by_name(serve: Serve) -> None:
    refused(post(serve(), picture(), skeleton="coco17"), 422, "no_such_skeleton", "'coco17'")
    long = "x" * 500
    as_form = post(serve(), picture(), skeleton=long)
    for response in (as_form, serve().post("/v1/poses", json=as_json(picture(), skeleton=long))):
        refused(response, 422, "bad_request", "skeleton: must have at most 40 characters")


def test_a_service_for_this_machine_answers_to_its_names_and_its_pages_alone(serve: Serve) -> None:
    client = serve(names=("localhost", "127.0.0.1", "poses.example"))

    def asked(host: str, origin: str | None = None) -> int:
        headers = {"host": host} | ({} if origin is None else {"origin": origin})
        status: int = client.get("/v1/service", headers=headers).status_code
        return status

    for host in ("localhost", "LOCALHOST:8000", "127.0.0.1:8000", "poses.example"):
        assert asked(host) == 200
        assert asked(host, f"https://{host}") == 200
        assert asked(host, "https://elsewhere.example") == 403
        assert asked(host, "null") == 403
    for host in ("elsewhere.example", "127.0.0.1.elsewhere.example", "[", ""):
        assert asked(host) == 403
    response = client.post("/v1/poses", content=b"x", headers={"host": "evil"})
    refused(response, 403, "forbidden", "asked as 'evil' by a page of 'http://evil'")
    assert response.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("root_path", ["", "/pose", "pose/"])
@pytest.mark.parametrize("cut", [False, True])
def test_every_link_of_the_pages_leads_somewhere_behind_a_proxy(
    serve: Serve, root_path: str, cut: bool
) -> None:
    client = serve(root_path=root_path)
    prefix = f"/{root_path.strip('/')}" if root_path else ""

    def get(url: str) -> Any:
        """What a browser gets through a proxy that cuts its prefix off, or passes it on."""
        assert url.startswith(f"http://shown{prefix}/"), url
        path = url.removeprefix("http://shown")
        return client.get(path.removeprefix(prefix) if cut else path)

    links = set()
    for page in ("", "docs"):
        address = f"http://shown{prefix}/{page}"
        found = re.findall(r'(?:href|src)="([^"]*)"', get(address).text)
        links |= {urljoin(address, link) for link in found}
    scripts = {name: get(f"http://shown{prefix}/{name}").text for name in SCRIPTS}
    assert [name for name, script in scripts.items() if "fetch(" in script] == ["engine-service.js"]
    calls = re.findall(r'(?:fetch|send)\("([^"]*)"', scripts["engine-service.js"])
    assert sorted(calls) == ["v1/poses", "v1/service", "v1/video"]
    parts = [name for script in scripts.values() for name in re.findall(r'from "\./(.*)"', script)]
    assert {*parts, "page.js"} == set(SCRIPTS)
    links |= {urljoin(f"http://shown{prefix}/", call) for call in [*calls, *parts]}
    names = ("", "docs", "style.css", "icon.svg", *SCRIPTS, "openapi.json", "v1/poses",
             "v1/video", "v1/service", "healthz", "metrics")  # fmt: skip
    assert links == {f"http://shown{prefix}/{name}" for name in names}
    answers = {link: get(link).status_code for link in links}
    assert answers.pop(f"http://shown{prefix}/v1/poses") == 405
    assert answers.pop(f"http://shown{prefix}/v1/video") == 405
    assert set(answers.values()) == {200}, answers
    servers = get(f"http://shown{prefix}/openapi.json").json().get("servers")
    assert servers == ([{"url": prefix}] if prefix else None)


def test_head_is_get_without_a_body(serve: Serve) -> None:
    client = serve()
    for path in ("/", "/v1/service", "/healthz", "/metrics", "/docs", "/page.js", "/openapi.json"):
        got, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (200, b""), path
        assert head.headers["content-type"] == got.headers["content-type"]
    assert client.head("/nothing").status_code == 404
    assert client.head("/v1/poses").status_code == 405
