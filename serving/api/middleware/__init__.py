"""Pure ASGI layers around the routes; `serving.api.app` says in which order."""
