"""The chatbot: an OpenAI-shaped HTTP API over a slot engine, served by Ray Serve or by uvicorn alone."""
