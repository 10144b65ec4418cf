"""List pages in B2's form."""

import re

import pytest

from b2d1.media import ListMode
from bench.bucket import SyntheticBucket
from bench.documents import Query
from bench.pages import FIRST_PAGE, page

OBJECTS_PAGE = """\
<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
    <Contents>
        <ETag>"e3e70682c2094cac629f6fbed82c07cd"</ETag>
        <Key>Fu%C3%9Fball/1923%E5%B9%B4/Zo%C3%AB+M%C3%BCller+en+%C3%A9t%C3%A9/0000000-%E3%83%AB%E3%83%BC%E3%83%BB%E3%82%B2%E3%83%BC%E3%83%AA%E3%83%83%E3%82%B0.jpg</Key>
        <LastModified>2024-06-13T11:34:05.000Z</LastModified>
        <Size>18485645</Size>
        <StorageClass>STANDARD</StorageClass>
    </Contents>
    <EncodingType>url</EncodingType>
    <IsTruncated>true</IsTruncated>
    <MaxKeys>1</MaxKeys>
    <Name>bench</Name>
    <Prefix>Fu%C3%9F</Prefix>
    <KeyCount>1</KeyCount>
    <NextContinuationToken>RnXDn2JhbGwvMTkyM-W5tC9ab8OrIE3DvGxsZXIgZW4gw6l0w6kvMDAwMDAwMC3jg6vjg7zjg7vjgrLjg7zjg6rjg4PjgrAuanBn</NextContinuationToken>
    <StartAfter>Fu</StartAfter>
</ListBucketResult>
"""
VERSIONS_PAGE = """\
<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
    <EncodingType>url</EncodingType>
    <IsTruncated>true</IsTruncated>
    <KeyMarker>Fu</KeyMarker>
    <MaxKeys>1</MaxKeys>
    <Name>bench</Name>
    <NextKeyMarker>Fu%C3%9Fball/1923%E5%B9%B4/Zo%C3%AB+M%C3%BCller+en+%C3%A9t%C3%A9/0000000-%E3%83%AB%E3%83%BC%E3%83%BB%E3%82%B2%E3%83%BC%E3%83%AA%E3%83%83%E3%82%B0.jpg</NextKeyMarker>
    <NextVersionIdMarker>4_z5024f157b1a6db506a8e0c19_fe3e70682c2094cac_d20240613_m113405_c004_v0402000_t0021_u01718278445000</NextVersionIdMarker>
    <Prefix>Fu%C3%9F</Prefix>
    <VersionIdMarker></VersionIdMarker>
    <Version>
        <ETag>"e3e70682c2094cac629f6fbed82c07cd"</ETag>
        <IsLatest>true</IsLatest>
        <Key>Fu%C3%9Fball/1923%E5%B9%B4/Zo%C3%AB+M%C3%BCller+en+%C3%A9t%C3%A9/0000000-%E3%83%AB%E3%83%BC%E3%83%BB%E3%82%B2%E3%83%BC%E3%83%AA%E3%83%83%E3%82%B0.jpg</Key>
        <LastModified>2024-06-13T11:34:05.000Z</LastModified>
        <Owner>
            <ID>0f5f0571db50</ID>
            <DisplayName></DisplayName>
        </Owner>
        <Size>18485645</Size>
        <StorageClass>STANDARD</StorageClass>
        <VersionId>4_z5024f157b1a6db506a8e0c19_fe3e70682c2094cac_d20240613_m113405_c004_v0402000_t0021_u01718278445000</VersionId>
    </Version>
</ListVersionsResult>
"""


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param({"list-type": "2", "start-after": "Fu"}, OBJECTS_PAGE, id="objects"),
        pytest.param({"versions": "", "key-marker": "Fu"}, VERSIONS_PAGE, id="versions"),
    ],
)
def test_pages_have_the_form_of_b2s_own(query: dict[str, str], expected: str) -> None:
    """A page is, to the last blank, what B2's documentation shows."""
    asked = {"encoding-type": "url", "max-keys": "1", "prefix": "Fuß"}
    assert page(SyntheticBucket("non-ascii", 2), query | asked).xml == expected


def listed(bucket: SyntheticBucket, query: dict[str, str]) -> list[list[str]]:
    """List the names on every page from a query on: common prefixes as they are, keys between stars."""
    found: list[list[str]] = []
    following: Query | None = query
    while following is not None:
        xml, following = page(bucket, following)
        prefixes = re.findall(r"<CommonPrefixes>\s*<Prefix>(.*)</Prefix>\s*</CommonPrefixes>", xml)
        found.append(sorted(prefixes + [f"*{key}*" for key in re.findall("<Key>(.*)</Key>", xml)], key=plain))
        if "versions" not in query:
            assert f"<KeyCount>{len(found[-1])}</KeyCount>" in xml
    return found


def plain(name: str) -> str:
    return name.strip("*")


def folded(bucket: SyntheticBucket, prefix: str, after: str) -> list[str]:
    """Fold the keys at the first slash behind a prefix, one by one."""
    names = []
    for key in map(bucket.key, range(bucket.objects)):
        if key.startswith(prefix) and key > after:
            head, slash, _ = key[len(prefix) :].partition("/")
            names.append(f"{prefix}{head}/" if slash else f"*{key}*")
    return sorted({name for name in names if plain(name) > after}, key=plain)


@pytest.mark.parametrize("mode", FIRST_PAGE)
@pytest.mark.parametrize("size", ["1000", "3", "1"])
@pytest.mark.parametrize(
    ("prefix", "after"),
    [
        pytest.param("", "", id="all"),
        pytest.param("", "Müller/", id="after a common prefix"),
        pytest.param("", "Müller/1930", id="after a text under one"),
        pytest.param("été/", "", id="a folder"),
        pytest.param("été/1923年/", "", id="a folder of folders with one object each"),
        pytest.param("été/1923年/巡業の旅/", "", id="a folder of objects"),
        pytest.param("été/19", "été/1930年/", id="a part of a name"),
        pytest.param("no such folder/", "", id="nothing"),
    ],
)
def test_a_delimiter_folds_keys(mode: ListMode, size: str, prefix: str, after: str) -> None:
    """Keys that go on alike up to a slash are one common prefix, counted and paged as one entry."""
    bucket = SyntheticBucket("non-ascii", 1500)
    marker = {"objects": "start-after", "versions": "key-marker"}[mode]
    begin = {name: value for name, value in FIRST_PAGE[mode].items() if name != "encoding-type"}
    query = (
        begin | {"delimiter": "/", "prefix": prefix, "max-keys": size} | ({marker: after} if after else {})
    )

    found = listed(bucket, query)

    names = folded(bucket, prefix, after)
    assert found == [names[at : at + int(size)] for at in range(0, max(1, len(names)), int(size))]


@pytest.mark.parametrize("mode", FIRST_PAGE)
def test_common_prefixes_are_written_as_keys_are(mode: ListMode) -> None:
    """Under encoding-type=url a common prefix is encoded, and so is the delimiter that made it."""
    query = {**FIRST_PAGE[mode], "delimiter": "年/", "prefix": "été/", "max-keys": "1"}
    xml = page(SyntheticBucket("non-ascii", 1500), query).xml
    assert "<CommonPrefixes>\n        <Prefix>%C3%A9t%C3%A9/1923%E5%B9%B4/</Prefix>\n" in xml
    assert "<Delimiter>%E5%B9%B4/</Delimiter>" in xml


def test_common_prefixes_are_found_by_bisection() -> None:
    """The folders of a million objects are found by looking at no more than 100 keys for each."""

    class Watched(SyntheticBucket):
        looks = 0

        def key(self, index: int) -> str:
            self.looks += 1
            return super().key(index)

    bucket = Watched("ascii", 1_000_000)
    assert len(listed(bucket, {"list-type": "2", "delimiter": "/"})[0]) == 8
    assert bucket.looks < 100 * 8
