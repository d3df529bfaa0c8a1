import asyncio


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] != "/healthz":
        await asyncio.sleep(0.3)    # stands for work
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"hello\n"})
