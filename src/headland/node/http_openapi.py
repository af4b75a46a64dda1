"""The local HTTP as an OpenAPI 3.1 document: made from the table of routes and from the structs it answers.

Served at `/openapi.json`. Every route of `headland.node.http_routes` has an operation here, with each status
that it answers; `tests/node/test_http_description.py` compares both with a running node.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from headland import __version__
from headland.node.gaps import Gap
from headland.node.http_routes import PLACEHOLDER, ROUTES, Route
from headland.node.quarantine import Listed
from headland.node.query import Question
from headland.node.queues import DeadLetter, QueueReport
from headland.node.south import ChildReport
from headland.node.status import Books, Status
from headland.sources.http_bodies import ReadingBody

JSON, TEXT = "application/json", "text/plain"
REF = "#/components/schemas/{name}"
Schema = dict[str, Any]


class Problem(msgspec.Struct, frozen=True):
    """An error: a stable word, and what and where; a push also names the place in the body, and a way out."""

    code: str
    message: str
    path: str = ""
    hint: str = ""


class Dead(msgspec.Struct, frozen=True):
    """Dead letters, and how many are not listed."""

    dead: list[DeadLetter]
    unlisted: int


class Gaps(msgspec.Struct, frozen=True):
    """Blocks that are not here, and how many gaps are not listed."""

    gaps: list[Gap]
    unlisted: int


class Children(msgspec.Struct, frozen=True):
    """Every child that has ever called."""

    children: list[ChildReport]


class Taken(msgspec.Struct, frozen=True):
    """So many readings are on disk."""

    accepted: int


class Resent(msgspec.Struct, frozen=True):
    """A dead letter waits again."""

    number: int
    state: str


class Released(msgspec.Struct, frozen=True):
    """A stopped stream goes on."""

    stream: str
    blocks: int
    readings: int
    state: str


class Unsent(msgspec.Struct, frozen=True):
    """What a parent may hold counts as unsent."""

    parent: str
    blocks: int
    state: str


class Demanded(msgspec.Struct, frozen=True):
    """What a class has goes north."""

    row_class: str
    state: str


class Desired(msgspec.Struct, frozen=True):
    """A version is wanted of a child."""

    child: str
    kind: str
    version: int


class Row(msgspec.Struct, frozen=True):
    """One row; see `headland.node.query` for its value."""

    series: str
    name: str
    labels: dict[str, str]
    ts: int | None
    seq: int | None
    value: Any
    kind: int
    severity: int
    origin: str = msgspec.field(name="_origin")
    site: str = msgspec.field(name="_site")
    epoch: int = msgspec.field(name="_epoch")
    n: int = msgspec.field(name="_n")
    node_ns: int = msgspec.field(name="_node_ns")
    by_node: bool = msgspec.field(name="_by_node")
    row_class: int = msgspec.field(name="_class")
    lane: int = msgspec.field(name="_lane")
    k: int = msgspec.field(name="_k")
    arrival: int = msgspec.field(name="_arrival")
    arrived_ns: int = msgspec.field(name="_arrived_ns")
    rule_version: str = msgspec.field(name="_rule_version")
    late: bool = msgspec.field(name="_late")
    boost: bool = msgspec.field(name="_boost")
    overlap: bool = msgspec.field(name="_overlap")
    uniqueness_unproven: bool = msgspec.field(name="_uniqueness_unproven")
    flags: int = msgspec.field(name="_flags")


class Rows(msgspec.Struct, frozen=True):
    """Rows, and what of the store cannot be read."""

    rows: list[Row]
    damaged: list[str] = []


class Event(msgspec.Struct, frozen=True):
    """A CloudEvent in its structured form; further members are extensions."""

    specversion: Literal["1.0"]
    id: Annotated[str, Meta(min_length=1)]
    source: Annotated[str, Meta(min_length=1)]
    type: Annotated[str, Meta(min_length=1)]
    data: Any = None


class Readings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several readings."""

    readings: list[ReadingBody]


Precision = Literal["auto", "s", "ms", "us", "ns"]
LinePrecision = Literal["ns", "us", "u", "µ", "ms", "s", "m", "h"]
RowClass = Literal["critical", "high", "normal", "low"]


class Parameter(msgspec.Struct, frozen=True):
    """A parameter of the query, or a header."""

    name: str
    type: Any
    text: str
    required: bool = False
    place: str = "query"


class Operation(msgspec.Struct, frozen=True):
    """What one route takes and answers, beside what every route may answer.

    Attributes:
        answer: Type of a 200, `str` for text, None for a 204 without a body.
        refusals: Further statuses.
        parameters: Of the query and headers.
        body: Media types of the body, and the types that one in it may have; none for bytes or text.
    """

    answer: Any
    refusals: tuple[int, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: tuple[tuple[str, tuple[Any, ...]], ...] = ()


OPEN = (503,)
EVERY = (400, 401, 403, 405, 421, 503)
"""Of any other route: not HTTP, no token, no right, another method, a foreign name, starting or refusing."""
PUSH = (413, 415, 422, 507)
KEY = Parameter(
    "Idempotency-Key",
    Annotated[str, Meta(pattern="^[!-~]+$", min_length=1, max_length=255)],
    "the same request with the same key is stored once",
    place="header",
)
LINES: tuple[tuple[str, tuple[Any, ...]], ...] = ((TEXT, ()),)
REFUSALS = {
    400: "the request does not fit: what and where is in the answer",
    401: "no token, or one that nobody bears",
    403: "without the right; a page of another site",
    404: "there is no such thing",
    405: "not this method",
    409: "cannot be done now",
    413: "too large",
    415: "no content type, one of a web form, or an unknown Content-Encoding",
    421: "Host is no name of this node",
    422: "an idempotency key used again; readings that can never be taken together",
    500: "what is stored cannot be read",
    503: "starting, or nothing is taken in; send the same again later",
    507: "more series than a node numbers",
}
PARAMETERS_OF_QUERY = {
    "series": "pattern of the series, name or name{labels}",
    "origin": "pattern of the node it comes from",
    "since_ns": "event time from here on, ns since 1970 UTC",
    "until_ns": "event time before this",
    "kind": "only rows of this kind",
    "order": "by event time, or by arrival here",
    "revisions": "of a derived row the highest revision, or all",
    "forked": "only rows of blocks kept beside others of their identity",
    "limit": "at most so many rows",
}


def _line_push(answer: Any) -> Operation:
    return Operation(
        answer,
        PUSH,
        (Parameter("precision", LinePrecision, "unit of the times"), KEY),
        LINES,
    )


OPERATIONS: dict[tuple[str, str], Operation] = {
    ("GET", "/healthz"): Operation(str),
    ("GET", "/readyz"): Operation(str),
    ("GET", "/openapi.json"): Operation(dict[str, Any]),
    ("GET", "/metrics"): Operation(str),
    ("GET", "/v1/status"): Operation(Status),
    ("GET", "/v1/ledger"): Operation(
        Books, parameters=(Parameter("hours", Literal["1", "0"], "by hour, too"),)
    ),
    ("GET", "/v1/queue"): Operation(QueueReport),
    ("GET", "/v1/queue/dead"): Operation(Dead),
    ("GET", "/v1/quarantine"): Operation(Listed),
    ("GET", "/v1/gaps"): Operation(Gaps, (404,)),
    ("GET", "/v1/children"): Operation(Children),
    ("GET", "/v1/query"): Operation(Rows, (404, 413, 500)),
    ("POST", "/v1/queue/resend"): Operation(
        Resent, (404, 409), (Parameter("number", Annotated[int, Meta(ge=0)], "of the dead letter", True),)
    ),
    ("POST", "/v1/queue/release"): Operation(
        Released,
        (404, 409),
        (
            Parameter("stream", str, "EPOCH/CLASS/LANE, as the queue names it", True),
            Parameter("as", Literal["waiting", "dead"], "send again, or make dead letters", True),
        ),
    ),
    ("POST", "/v1/queue/parent-gone"): Operation(Unsent, (409,)),
    ("POST", "/v1/queue/demand"): Operation(Demanded, (409,), (Parameter("class", RowClass, "which", True),)),
    ("POST", "/v1/children/SITE/NAME/intents/config"): Operation(
        Desired, (404, 413, 415), body=(("application/toml", ()),)
    ),
    ("POST", "/v1/readings"): Operation(
        Taken,
        PUSH,
        (Parameter("precision", Precision, "unit of the numbers that are times"), KEY),
        ((JSON, (ReadingBody, list[ReadingBody], Readings)), ("application/x-ndjson", ())),
    ),
    ("POST", "/v1/influx"): _line_push(Taken),
    ("POST", "/api/v2/write"): _line_push(None),
    ("POST", "/write"): _line_push(None),
    ("POST", "/v1/cloudevents"): Operation(
        Taken,
        PUSH,
        (KEY,),
        (("application/cloudevents+json", (Event,)), ("application/cloudevents-batch+json", (list[Event],))),
    ),
    ("POST", "/v1/topics/TOPIC"): Operation(Taken, PUSH, (KEY,), (("application/octet-stream", ()),)),
    ("GET", "/ping"): Operation(None),
}


def document() -> Schema:
    """The whole document."""
    schemas: dict[str, Schema] = {}
    paths: dict[str, dict[str, Schema]] = {}
    for route in ROUTES:
        paths.setdefault(path_of(route.path), {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "The local HTTP of a Headland node",
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def path_of(path: str) -> str:
    """`/v1/topics/TOPIC` as `/v1/topics/{topic}`."""
    return PLACEHOLDER.sub(lambda found: f"{{{found[0].lower()}}}", path)


def _operation(route: Route, schemas: dict[str, Schema]) -> Schema:
    operation = OPERATIONS[route.method, route.path]
    made: Schema = {"summary": route.text, "responses": _responses(route, operation, schemas)}
    parameters = [_parameter(one, schemas) for one in operation.parameters]
    if route.path == "/v1/query":
        parameters = _parameters_of_query()
    parameters += [
        {"name": word.lower(), "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for word in PLACEHOLDER.findall(route.path)
    ]
    if parameters:
        made["parameters"] = parameters
    if operation.body:
        content = {
            media: {"schema": {"anyOf": [_schema(one, schemas, answer=False) for one in kinds]}}
            if kinds
            else {}
            for media, kinds in operation.body
        }
        made["requestBody"] = {"content": content, "required": True}
    if route.may:
        made["security"] = [{"token": []}, {}]
        made["description"] = f"Takes the right to {route.may}."
    return made


def _responses(route: Route, operation: Operation, schemas: dict[str, Schema]) -> Schema:
    problem = {"schema": _schema(Problem, schemas, answer=True, whole=False)}
    found: Schema = {}
    if operation.answer is None:
        found["204"] = {"description": "done"}
    else:
        media = TEXT if operation.answer is str else JSON
        schema = _schema(operation.answer, schemas, answer=True, whole=operation.answer is not Rows)
        found["200"] = {"description": route.text, "content": {media: {"schema": schema}}}
    for status in sorted({*(EVERY if route.may else OPEN), *operation.refusals}):
        content: Schema = {JSON: problem}
        if status in (400, 413, 503):
            content[TEXT] = {"schema": {"type": "string"}}  # what is not even HTTP, or too much of it
        found[str(status)] = {"description": REFUSALS[status], "content": content}
    return found


def _parameter(one: Parameter, schemas: dict[str, Schema]) -> Schema:
    schema = _schema(one.type, schemas, answer=False)
    return {
        "name": one.name,
        "in": one.place,
        "required": one.required,
        "description": one.text,
        "schema": schema,
    }


def _parameters_of_query() -> list[Schema]:
    fields = msgspec.json.schema(Question)["$defs"]["Question"]["properties"]
    made = []
    for name, schema in fields.items():
        known = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
        plain = {**(known[0] if known else schema)}
        plain.pop("default", None)
        made.append({"name": name, "in": "query", "description": PARAMETERS_OF_QUERY[name], "schema": plain})
    return made


def _schema(kind: Any, schemas: dict[str, Schema], *, answer: bool, whole: bool = True) -> Schema:
    """The schema of a type; what it is made of goes into `schemas`.

    Args:
        kind: The type.
        schemas: Takes its parts.
        answer: Whether it is what we say, and not what we are told: then nothing else is in it.
        whole: Whether an answer has every member.
    """
    (schema,), parts = msgspec.json.schema_components((kind,), ref_template=REF)
    for name, part in parts.items():
        if answer and part.get("type") == "object" and "properties" in part:
            part["additionalProperties"] = False
            if whole:
                part["required"] = list(part["properties"])
        schemas[name] = part
    return schema
