"""What is known, over HTTP: reads for programs and pages (docs/http.md). The only package that knows FastAPI."""
