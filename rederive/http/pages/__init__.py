"""The pages of `rederive dashboard` (docs/page.md): templates over the same reads that the API answers with.

What a domain's own pages are made of: `Pages`, `page`; paths and parameters are those of rederive.http.routing.
"""

from rederive.http.pages.rendering import HTML, Chart, Pages, Series, page

__all__ = ["HTML", "Chart", "Pages", "Series", "page"]
