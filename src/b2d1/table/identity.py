"""When a stored row and a new one are the same content under two media_uids: the rule, in SQL.

`media.is_doubled` is the same rule for one row.
"""

# The form of a file id, as `media.form_of` returns it. The ETag of an upload in parts is a hash and a number.
_HASH = "substr({0}, 1, instr({0} || '-', '-') - 1)"
_FORM = f"""\
CASE WHEN {{0}} GLOB '4_z*' THEN 'version' WHEN {{0}} GLOB '"*' THEN 'quoted'
WHEN {_HASH} NOT GLOB '*[^0-9a-f]*' AND length({_HASH}) IN (32, 40, 64)
THEN 'hash of ' || length({_HASH}) ELSE 'bare' END"""
STORED_FORM, NEW_FORM = _FORM.format("m.b2_file_id"), _FORM.format("json_extract(v.value, '$[2]')")

# A new row v is refused beside a stored row m with the same key and another media_uid in three cases:
# - the content is the same: by etag or, without one, by file id, quotes aside;
# - the contents cannot be compared, since one of the two has no etag and a file id that is none;
# - the identity has another form than every stored row of the key has.
# B2 gives each upload a file id of its own, so two of those are two uploads. A row without b2_file_id, as
# some of the original's are, is compared by its etag alone.
SAME_CONTENT = f"""\
m.media_uid <> json_extract(v.value, '$[0]')
AND CASE WHEN {STORED_FORM} = 'version' AND {NEW_FORM} = 'version'
THEN m.b2_file_id = json_extract(v.value, '$[2]')
ELSE trim(coalesce(m.etag, m.b2_file_id), '"')
= trim(coalesce(json_extract(v.value, '$[4]'), json_extract(v.value, '$[2]')), '"')
OR {STORED_FORM} <> {NEW_FORM} AND (m.etag IS NULL AND {STORED_FORM} NOT IN ('quoted', 'hash of 32')
OR json_extract(v.value, '$[4]') IS NULL AND {NEW_FORM} NOT IN ('quoted', 'hash of 32'))
OR m.b2_file_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM media_assets m
WHERE m.b2_key = json_extract(v.value, '$[1]') AND (m.b2_file_id IS NULL OR {STORED_FORM} = {NEW_FORM}))
END"""
