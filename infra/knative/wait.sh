#!/bin/sh
# Return when everything in the namespace is ready, or fail after ten minutes per kind. Skaffold
# runs this after a deploy: it does not know by itself when Knative's kinds are ready.
set -eu

ready() {
  kubectl ${SKAFFOLD_KUBE_CONTEXT:+--context "$SKAFFOLD_KUBE_CONTEXT"} --namespace pocwhisp \
    wait --timeout=10m "$@"
}

ready --for=condition=Complete job/migrate
ready --for=condition=Ready natsjetstreamchannels.messaging.knative.dev --all
ready --for=condition=Ready services.serving.knative.dev --all
ready --for=condition=Ready subscriptions.messaging.knative.dev --all
ready --for=condition=Ready pingsources.sources.knative.dev --all
