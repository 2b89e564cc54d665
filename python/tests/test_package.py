"""What the package says about itself, and the URI that it takes from a client."""

import pathlib
import re
import sys

import millstream
import pymongo
import pytest
from millstream import _native
from millstream.uri import of_client


def of(*arguments, **options):
    client = pymongo.MongoClient(*arguments, connect=False, **options)
    try:
        return of_client(client)
    finally:
        client.close()


@pytest.mark.parametrize(
    "arguments, options, uri",
    [
        (["mongodb://127.0.0.1:27018/shop?replicaSet=rs0"], {}, "mongodb://127.0.0.1:27018/?replicaSet=rs0"),
        (["b.example"], {"port": 5}, "mongodb://b.example:5/?"),
        (
            ["mongodb://anna:p%40ss@b,a:1/shop?tls=true&connectTimeoutMS=1500"],
            {},
            "mongodb://anna:p%40ss@a:1,b:27017/?connectTimeoutMS=1500&tls=true&authSource=shop",
        ),
        (
            ["[::1]:7"],
            {"username": "o'hara", "password": "x/y", "authSource": "admin", "directConnection": True},
            "mongodb://o%27hara:x%2Fy@[::1]:7/?authSource=admin&directConnection=true",
        ),
        (
            ["a"],
            {"appname": "the shop", "serverSelectionTimeoutMS": 700},
            "mongodb://a:27017/?appName=the+shop&serverSelectionTimeoutMS=700",
        ),
    ],
)
def test_the_uri_of_a_client(arguments, options, uri):
    assert of(*arguments, **options) == uri


def test_what_no_uri_can_hold_is_refused():
    with pytest.raises(ValueError, match="MONGODB-OIDC cannot be taken from a client: give uri="):
        of("a", authMechanism="MONGODB-OIDC", authMechanismProperties={"ENVIRONMENT": "azure", "TOKEN_RESOURCE": "x"})


def test_an_asynchronous_client_will_do_too(engine):
    import asyncio

    async def main():
        client = pymongo.AsyncMongoClient(engine.uri)
        streams = millstream.MongoChangeStreams(client.asynchronous, use_queue=True)
        streams.watch_collection_async("orders")
        await client.asynchronous.orders.insert_one({"_id": 1})
        async for change in streams:
            assert change["documentKey"] == {"_id": 1}
            break
        streams.stop()
        await client.close()

    asyncio.run(main())


def test_the_stubs_say_what_there_is():
    folder = pathlib.Path(millstream.__file__).parent
    assert (folder / "py.typed").exists()
    stubs = (folder / "_native.pyi").read_text()
    for name in re.findall(r"^class (\w+)", stubs, re.M):
        methods = re.findall(r"def (\w+)", re.search(rf"^class {name}:\n((?:    .*\n)+)", stubs, re.M).group(1))
        public = {method for method in dir(getattr(_native, name)) if not method.startswith("_")}
        assert public == {method for method in methods if not method.startswith("_")}, name


def test_every_public_name_is_documented():
    for name in millstream.__all__:
        thing = getattr(millstream, name)
        assert thing.__doc__, name
        for method, value in vars(thing).items():
            if not method.startswith("_") and callable(value):
                assert value.__doc__, f"{name}.{method}"
    assert sys.version_info >= (3, 9)
