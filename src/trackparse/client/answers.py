"""Parses and judges the JSON that the service answers. No I/O; of an answer only what is used is kept."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from trackparse.errors import ApiError, AuthError, one_line

OK: Final = 200
_UNAUTHORIZED: Final = (401, 403)
# The service uses the same code for a bad token as for other bad arguments: only the message tells them apart.
_ABOUT_TOKEN: Final = re.compile(
    r"unauthori[sz]ed|forbidden|access denied|\bauth\b|authenti|authori[sz]|(?:api|access)[ _-]*(?:access[ _-]*)?token",
    re.IGNORECASE,
)
# The answer for a result that is not ready is not documented. When in doubt, wait: if it was a refusal, the error at
# the deadline has its message; to take "not ready" for a refusal would lose a log.
_NOT_YET_CODES: Final = (102, 202, 420, 425)
_ABOUT_WAITING: Final = re.compile(
    r"not (?:yet )?(?:ready|available|finished|complete)|process(?:ing|ed)|in progress|pending|queue|try again|wait",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the service; fields of its response that are missing, or of the wrong type, are None."""

    status_code: int
    message: str
    request_id: str | None
    link: str | None
    tracking_codes: list[str] | None

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status_code == 429 or 500 <= self.status_code < 600

    @property
    def is_not_yet(self) -> bool:
        """Whether the result is still being made."""
        if self.status_code == OK or self.status_code in _NOT_YET_CODES:
            return True
        return not self.is_refusal_of_token and bool(_ABOUT_WAITING.search(self.message))

    @property
    def is_refusal_of_token(self) -> bool:
        """Whether the service refuses because of the token."""
        if self.status_code == OK or self.is_transient:
            return False
        return self.status_code in _UNAUTHORIZED or bool(_ABOUT_TOKEN.search(self.message))


def read_answer(data: Mapping[str, Any] | str | bytes, hide: Callable[[str], str] = str) -> Answer | str:
    """The answer; or as text what is wrong with it, with its start. ``hide`` removes the token from texts.

    Nothing is raised: a traceback would show the text as it came.
    """
    found: Any = data
    if not isinstance(data, Mapping):
        try:
            # What a PHP program prints may begin with the byte order mark of one of its files.
            found = orjson.loads(data.removeprefix("\ufeff") if isinstance(data, str) else data.removeprefix(BOM_UTF8))
        except orjson.JSONDecodeError:
            found = None
        if found is None:
            return f"not JSON: {_start(data, hide)}"
    if not isinstance(found, Mapping):
        return f"not a JSON object: {_start(data, hide)}"
    code = _number(found.get("status_code"))
    if code is None:
        return f"without a status_code: {_start(data, hide)}"
    response = found.get("response")
    fields = response if isinstance(response, Mapping) else {}
    codes = fields.get("TrackingCodes")
    return Answer(
        code,
        _text(found.get("status_message"), hide) or "",
        _text(fields.get("request_id"), hide),
        _text(fields.get("fileName"), hide),
        [hide(code) for code in codes]
        if isinstance(codes, list) and all(isinstance(code, str) for code in codes)
        else None,
    )


def refusal(what: str, answer: Answer, advice: str = "") -> ApiError:
    """The error that an answer stands for; ``advice`` is for one that is not about the token."""
    message = answer.message or "no message"
    if answer.is_refusal_of_token:
        text = f"{what}: the token is not accepted: status_code {answer.status_code}, {message}"
        return AuthError(one_line(text), answer.status_code)
    return ApiError(one_line(f"{what}: status_code {answer.status_code}, {message}"), answer.status_code, advice=advice)


def tracking_codes(response: Mapping[str, Any] | str | bytes) -> list[str]:
    """The tracking codes in the answer to a ``createMessage``: values of the column ``tracking_code`` of the log.

    ``response`` is the answer as a mapping, or its JSON as text or bytes. AuthError or ApiError if the service refused,
    or if there are no codes in it: push tracking is off for the account, or the message was not for specific devices.
    TypeError if ``response`` is anything else.

    Example::

        codes = tracking_codes(b'{"status_code":200,"response":{"TrackingCodes":["T-1"]}}')  # ['T-1']
    """
    if not isinstance(response, (Mapping, str, bytes)):
        raise TypeError(f"response is {type(response).__name__}: expected a mapping, str or bytes")
    answer = read_answer(response)
    if isinstance(answer, str):
        raise ApiError(one_line(f"the send response is {answer}"))
    if answer.status_code != OK:
        raise refusal("the send response", answer)
    if answer.tracking_codes is None:
        raise ApiError(
            "the send response has no TrackingCodes",
            answer.status_code,
            advice="they are given for messages to specific devices, where push tracking is enabled",
        )
    return answer.tracking_codes


def _number(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value[:9])
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: object, hide: Callable[[str], str]) -> str | None:
    """A text; a number becomes a text."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return hide(str(value))


def _start(data: Mapping[str, Any] | str | bytes, hide: Callable[[str], str]) -> str:
    if isinstance(data, Mapping):
        return f"the fields are {', '.join(map(str, data)) or 'none'}"
    # Hidden before it is shortened: half a token would not be found.
    text = one_line(hide(data if isinstance(data, str) else data.decode("utf-8", "replace")))
    return repr(text[:120]) if text else "it is empty"
