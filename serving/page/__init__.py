"""The chat page: static files that talk to /v1 from the browser.

`static/` holds the page as the browser loads it, without a build step; `lib/` the two npm libraries that `libraries`
fetches; `mount` puts both at /ui of the app that answers /v1.
"""
