"""A recording as JSON, which is long after a long call."""

from collections.abc import Mapping

from starlette.responses import Response

from functions.ingest.http.views import Session
from shared.tasks import in_turns


async def session_response(session: Session, headers: Mapping[str, str] | None = None) -> Response:
    """The response whose body is the recording.

    Its segments are written a few at a time, so that no other request waits for all of them.
    """
    if session.transcript is None:
        body = session.model_dump_json()
    else:
        rest = session.model_dump_json(exclude={"transcript"}).removesuffix("}")
        segments = session.transcript.segments
        written = ",".join([one.model_dump_json() async for one in in_turns(segments)])
        body = f'{rest},"transcript":{{"segments":[{written}]}}}}'
    return Response(body, headers=headers, media_type="application/json")
