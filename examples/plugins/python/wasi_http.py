"""Requests and answers over wasi:http 0.3; the same in every plugin."""
import json
from urllib.parse import urlsplit

import wit_world
from componentize_py_async_support import spawn
from componentize_py_types import Ok
from wit_world.imports import client
from wit_world.imports.wasi_http_types import Fields, Request, Response, Scheme_Http, Scheme_Https

# componentize-py names the future of an ending after all that it may carry.
trailers = wit_world.result_option_wasi_http_types_fields_wasi_http_types_error_code_future
received = wit_world.result_unit_wasi_http_types_error_code_future


async def get(url, headers):
    """The app's answer to GET."""
    scheme, authority, path, query, _ = urlsplit(url)
    request, _ = Request.new(Fields.from_list(headers), None, trailers(lambda: Ok(None))[1], None)
    request.set_scheme(Scheme_Https() if scheme == "https" else Scheme_Http())
    request.set_authority(authority)
    request.set_path_with_query(f"{path}?{query}" if query else path)
    return await client.send(request)


async def read(message):
    """The JSON in the body of a request or an answer."""
    stream, _ = type(message).consume_body(message, received(lambda: Ok(None))[1])
    content = b""
    with stream:
        while not stream.writer_dropped:
            content += await stream.read(65536)
    return json.loads(content)


def answer(status, document=None, headers=()):
    """An answer, with a document as JSON or without."""
    sender, stream = wit_world.byte_stream()
    response, _ = Response.new(Fields.from_list(list(headers)), stream, trailers(lambda: Ok(None))[1])
    response.set_status_code(status)
    spawn(send(sender, b"" if document is None else json.dumps(document).encode()))
    return response


async def send(sender, content):
    with sender:
        await sender.write_all(content)
