"""A service over HTTP: pictures in, poses out, and a page to try it by hand."""
