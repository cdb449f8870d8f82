"""How schemathesis sends a body that is a component: as the bytes that it is."""

import schemathesis

schemathesis.serializer.alias("application/wasm", "application/octet-stream")
