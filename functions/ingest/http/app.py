"""The public HTTP API."""

from fastapi import FastAPI

from functions.ingest.http.dependencies import Dependencies
from functions.ingest.http.head import AnswerHead
from functions.ingest.http.problems import answer_errors, answer_unexpected_error
from functions.ingest.http.routes import probes, recordings, uploads
from functions.ingest.metrics import UploadCounter
from functions.ingest.ports import Ports
from functions.ingest.settings import Settings
from shared.access import AccessLog
from shared.runtime import Lifespan


def create_api(opening: Lifespan[Ports], settings: Settings) -> FastAPI:
    """Return the API over ports that are opened with the first request."""
    api = FastAPI(title="PocWhisp", version="1", docs_url=None, redoc_url=None)
    api.state.dependencies = Dependencies(opening.get, settings, UploadCounter())
    for routes in (uploads, recordings, probes):
        api.include_router(routes.router, prefix="/api/v1")
    answer_errors(api)
    api.add_middleware(AnswerHead)
    api.add_middleware(AccessLog, crashed=answer_unexpected_error)
    return api
