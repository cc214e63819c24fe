import asyncio, time
from tessera.providers.fake import Fake, accept

async def test_db(database_url): 
    assert database_url

async def test_house(open_house):
    async with open_house(provided={"sandbox": Fake("sandbox")}) as house:
        assert house.worker.alive

async def test_gateway(gateway, receiver):
    got = await gateway.post("/api/v1/gpt4o-image/generate", {"prompt":"x","size":"1:1","callBackUrl": receiver.url+"/cb"})
    print(got)
    r = await receiver.next()
    print(r)
    print(await gateway.get("/api/v1/gpt4o-image/record-info", taskId=got["data"]["taskId"]))
    assert 0
