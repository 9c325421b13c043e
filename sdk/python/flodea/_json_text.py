"""JSON text without importing `json`, which costs 12 ms through `re`: its C parts alone do all that is needed here.

`_json` belongs to CPython; where it is missing or has changed, `json` is used.
"""


def _number(text: str) -> float:
    return {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}[text]


class _Rules:
    """What json.JSONDecoder passes to its scanner."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_number)
    memo: dict = {}


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def _make() -> tuple:
    try:
        import _json

        scan = _json.make_scanner(_Rules)
        encode = _json.make_encoder(None, _refuse, _json.encode_basestring_ascii, None, ":", ",", False, False, False)
        if scan('{"a":[1,"b"]}', 0) == ({"a": [1, "b"]}, 13) and "".join(encode({"a": [1, "b"]}, 0)) == '{"a":[1,"b"]}':
            return lambda text: scan(text, 0)[0], lambda value: "".join(encode(value, 0))
    except Exception:  # noqa: BLE001 - another Python's private module may fail in any way
        pass
    import json

    return json.loads, lambda value: json.dumps(value, separators=(",", ":"))


loads, dumps = _make()
