"""The response with a recording, which is long after a long call."""

from collections.abc import Mapping

from starlette.responses import Response

from functions.ingest.views import Session
from shared.tasks import in_turns


async def session_response(session: Session, headers: Mapping[str, str] | None = None) -> Response:
    """Return the response whose body is the recording.

    Segments are serialised a few at a time, so that other requests need not wait for all of them.
    """
    if session.transcript is None:
        body = session.model_dump_json()
    else:
        rest = session.model_dump_json(exclude={"transcript"}).removesuffix("}")
        segments = session.transcript.segments
        written = ",".join([one.model_dump_json() async for one in in_turns(segments)])
        body = f'{rest},"transcript":{{"segments":[{written}]}}}}'
    return Response(body, headers=headers, media_type="application/json")
