"""Who may read what, and how the Hub says no. Pure.

The Hub does not tell a dataset that does not exist from a private one of somebody else. To a caller without a token it
says 401 in both cases, to others 404. Of a gated dataset everybody sees the description and the README; the other
files take a token that was granted access.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

EVERYTHING = "*"


@dataclass(frozen=True, slots=True)
class Answer:
    """An error of the Hub: its code goes into `X-Error-Code`, its message into `X-Error-Message` and the body."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)


def revision_not_found(revision: str) -> Answer:
    return Answer(404, "RevisionNotFound", f"Invalid rev id: {revision}")


def entry_not_found(path: str) -> Answer:
    return Answer(404, "EntryNotFound", f"{path} does not exist")


REPO_NOT_FOUND = Answer(404, "RepoNotFound", "Repository not found")
NOT_SIGNED_IN = Answer(401, "RepoNotFound", "Invalid username or password.")
BAD_TOKEN = Answer(401, "", "Invalid credentials in Authorization header")


@dataclass(frozen=True, slots=True)
class Access:
    """Attributes:
    tokens: each with the private and gated datasets that it may read; `*` stands for all.
    private, gated: by their ids.
    """

    tokens: Mapping[str, tuple[str, ...]]
    private: frozenset[str]
    gated: frozenset[str]

    def refusal(self, dataset_id: str, token: str | None, *, exists: bool, content: bool) -> Answer | None:
        """Why a request about a dataset is refused; None if it is not.

        Args:
            token: as it came; None if none did.
            exists: whether there is such a dataset.
            content: whether it asks for a file's bytes, other than the README's.
        """
        if token is not None and token not in self.tokens:
            return BAD_TOKEN
        granted = self.tokens.get(token or "", ())
        may = dataset_id in granted or EVERYTHING in granted
        if not exists or (dataset_id in self.private and not may):
            return REPO_NOT_FOUND if token else NOT_SIGNED_IN
        if content and dataset_id in self.gated and not may:
            sentence = f"Access to dataset {dataset_id} is restricted."
            if token:
                return Answer(403, "GatedRepo", f"{sentence} You must be authorized to access it.")
            return Answer(401, "GatedRepo", f"{sentence} You must have access to it and be authenticated to access it.")
        return None


def token_of(authorization: str) -> str | None:
    """The token in a header `Authorization: Bearer ...`; None without one."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None
