"""Service Quotas: the read-only part of its API, for the service code `bedrock` (contract section 5).

Its protocol is JSON 1.1: every operation is `POST /` and named by `X-Amz-Target`; an error's code stands in the body.
So it can share the server with Bedrock's own API, whose operations all have paths. Clients reach it through
`AWS_ENDPOINT_URL_SERVICE_QUOTAS`.

"Applied" quotas are what the simulator enforces now, so a change of its settings shows at once; "default" ones are what
AWS documents. Quotas are listed in the order of their codes: names that resemble each other lie apart.
"""

import base64
import binascii
import logging
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from quarry_local.bedrock.api.checks import Checks
from quarry_local.bedrock.api.quota_table import Quota, quotas
from quarry_local.bedrock.errors import ApiError, unknown_operation
from quarry_local.bedrock.settings import LiveSettings

log = logging.getLogger(__name__)

T = TypeVar("T")

_TARGET = "ServiceQuotasV20190624."
_PAGE = 100  # also the most that may be asked for
_SERVICE = {"ServiceCode": "bedrock", "ServiceName": "Amazon Bedrock"}


class Quotas:
    def __init__(self, live: Callable[[], LiveSettings], *, region: str, account: str) -> None:
        self._live = live
        self._region = region
        self._account = account
        self._checks = Checks("service-quotas")
        self._operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "ListServices": self._list_services,
            "ListServiceQuotas": self._list_applied,
            "ListAWSDefaultServiceQuotas": self._list_defaults,
            "GetServiceQuota": self._get_applied,
            "GetAWSDefaultServiceQuota": self._get_default,
        }

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/", self._handle)

    async def _handle(self, request: web.Request) -> web.Response:
        target = request.headers.get("X-Amz-Target", "").removeprefix(_TARGET)
        try:
            return _json(self._call(target, await request.read()))
        except ApiError as error:
            return _json({"__type": error.code, "message": error.message}, error.status)
        except (web.HTTPException, web.RequestPayloadError):
            raise
        except Exception:
            # A fault of the simulator's own answers as the service would, and is told in the log.
            log.exception("service quotas: %s", target)
            return _json({"__type": "ServiceException", "message": "Something went wrong."}, 500)

    def _call(self, operation: str, body: bytes) -> dict[str, Any]:
        if operation not in self._operations:
            raise unknown_operation()
        return self._operations[operation](self._checks.read(operation, path={}, query={}, body=body))

    def _list_services(self, request: dict[str, Any]) -> dict[str, Any]:
        services, next_token = _page([_SERVICE], request)
        return {"Services": services} | next_token

    def _list_applied(self, request: dict[str, Any]) -> dict[str, Any]:
        found = list(self._of(request).values())
        if "QuotaCode" in request:
            found = [quota for quota in found if quota.code == request["QuotaCode"]]
        if request.get("QuotaAppliedAtLevel") == "RESOURCE":
            found = []
        page, next_token = _page(found, request)
        return {"Quotas": [self._applied(quota) for quota in page]} | next_token

    def _list_defaults(self, request: dict[str, Any]) -> dict[str, Any]:
        page, next_token = _page(list(self._of(request).values()), request)
        return {"Quotas": [self._default(quota) for quota in page]} | next_token

    def _get_applied(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"Quota": self._applied(self._one(request))}

    def _get_default(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"Quota": self._default(self._one(request))}

    def _of(self, request: dict[str, Any]) -> dict[str, Quota]:
        if request["ServiceCode"] != _SERVICE["ServiceCode"]:
            raise _no_such(f"The service {request['ServiceCode']} does not exist.")
        return quotas(self._live())

    def _one(self, request: dict[str, Any]) -> Quota:
        code = request["QuotaCode"]
        try:
            return self._of(request)[code]
        except KeyError:
            raise _no_such(f"The quota {code} does not exist for the service {request['ServiceCode']}.") from None

    def _applied(self, quota: Quota) -> dict[str, Any]:
        # What is applied belongs to an account, what is a default to none: the ARNs show it.
        return self._view(quota, quota.value, self._account) | {"QuotaAppliedAtLevel": "ACCOUNT"}

    def _default(self, quota: Quota) -> dict[str, Any]:
        return self._view(quota, quota.default, "")

    def _view(self, quota: Quota, value: float, account: str) -> dict[str, Any]:
        return _SERVICE | {
            "QuotaArn": f"arn:aws:servicequotas:{self._region}:{account}:bedrock/{quota.code}",
            "QuotaCode": quota.code,
            "QuotaName": quota.name,
            "Value": float(value),
            "Unit": "None",
            "Adjustable": quota.adjustable,
            "GlobalQuota": False,
        }


def _page(found: list[T], request: dict[str, Any]) -> tuple[list[T], dict[str, str]]:
    """One page, and the token of the next as a member if there is one."""
    first = _position(request["NextToken"], len(found)) if "NextToken" in request else 0
    end = first + int(request.get("MaxResults", _PAGE))
    token = {"NextToken": base64.b64encode(f"quota:{end}".encode()).decode()} if end < len(found) else {}
    return found[first:end], token


def _position(token: str, count: int) -> int:
    try:
        kind, _, position = base64.b64decode(token, validate=True).decode().partition(":")
        found = int(position)
    except (binascii.Error, ValueError):
        kind, found = "", 0
    if kind != "quota" or not 0 < found < count:
        raise ApiError("InvalidPaginationTokenException", 400, "The NextToken is not valid.")
    return found


def _no_such(message: str) -> ApiError:
    return ApiError("NoSuchResourceException", 400, message)


def _json(body: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body),
        status=status,
        content_type="application/x-amz-json-1.1",
        headers={"x-amzn-RequestId": str(uuid.uuid4())},
    )
