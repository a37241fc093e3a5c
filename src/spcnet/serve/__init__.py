"""A service over HTTP: pictures in, poses out, and a page to try it by hand.

`spcnet.serve.app.create_app` makes the ASGI application of an estimator and its limits;
`spcnet.serve.server.run` serves it on a socket.
"""
