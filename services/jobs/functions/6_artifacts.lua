-- Bytes by digest. A chunk is staged under its upload and renamed when the whole is sealed; where bytes are kept outside
-- of this Redis, a part is put on the upload's shelf, which becomes the artifact's.

local CHUNK = 1048576
local UPLOAD_KEPT_MS = 3600000

local function upload_key(tenant, upload)
  return P .. 'u:' .. tenant .. ':' .. upload
end

local function chunks_of(size)
  return math.ceil(size / CHUNK)
end

local function artifact_info(tenant, sha)
  local size, media, created, expires =
    unpack(redis.call('HMGET', manifest_key(tenant, sha), 'size', 'media', 'created', 'expires'))
  return size and {size, media, created, expires}
end

-- Says that an artifact is still wanted; its life never gets shorter by that. One whose bytes were lost is not there.
local function artifact_touch(_, args)
  local tenant, sha, ttl_ms = unpack(args)
  local info = artifact_info(tenant, sha)
  if info and redis.call('HEXISTS', manifest_key(tenant, sha), 'lost') == 1 then
    return nil
  end
  if info and info[4] ~= '0' then
    local expires = int(math.max(tonumber(info[4]), now_ms() + ttl_ms))
    redis.call('HSET', manifest_key(tenant, sha), 'expires', expires)
    redis.call('ZADD', P .. 'lapse', expires, tenant .. '/' .. sha)
    info[4] = expires
  end
  return info
end

local function keep_upload(tenant, upload)
  redis.call('ZADD', P .. 'uploads', int(now_ms() + UPLOAD_KEPT_MS), tenant .. '/' .. upload)
end

-- Counts the declared size at once; whatever ends the upload takes it back.
local function upload_begin(_, args)
  local tenant, upload, sha, size, media, store = unpack(args)
  if redis.call('EXISTS', upload_key(tenant, upload)) == 1 then
    return {'OK'}
  end
  local refused = bytes_refused(tenant, tonumber(size))
  if refused then
    return refused
  end
  redis.call('HSET', upload_key(tenant, upload), 'sha', sha, 'size', size, 'media', media, 'chunks', 0, 'digests', '')
  if store then
    redis.call('HSET', upload_key(tenant, upload), 'store', store, 'parts', '')
  end
  add_bytes(tenant, size)
  keep_upload(tenant, upload)
  return {'OK'}
end

-- Keeps chunk `index`. A chunk that came before with the same digest is kept already.
local function upload_chunk(_, args)
  local tenant, upload, index, digest, data = unpack(args)
  local chunks, digests = unpack(redis.call('HMGET', upload_key(tenant, upload), 'chunks', 'digests'))
  if not chunks then
    return 'NOT_FOUND'
  end
  index, chunks = tonumber(index), tonumber(chunks)
  if index == chunks - 1 and string.sub(digests, -#digest) == digest then
    return 'OK'
  end
  if index ~= chunks then
    return 'OFFSET'
  end
  redis.call('SET', upload_key(tenant, upload) .. ':' .. index, data)
  redis.call('HSET', upload_key(tenant, upload), 'chunks', chunks + 1, 'digests', digests .. digest)
  keep_upload(tenant, upload)
  return 'OK'
end

-- What a worker puts has no declaration, only chunks that lapse by themselves, or a shelf.
local function drop_upload(tenant, upload, chunks)
  for index = 0, chunks - 1 do
    redis.call('UNLINK', upload_key(tenant, upload) .. ':' .. index)
  end
  local declared, store = unpack(redis.call('HMGET', upload_key(tenant, upload), 'size', 'store'))
  if store then
    shelf.discard(store, tenant, upload)
  end
  if declared then
    add_bytes(tenant, -declared)
  end
  redis.call('UNLINK', upload_key(tenant, upload))
  redis.call('ZREM', P .. 'uploads', tenant .. '/' .. upload)
end

local function upload_drop(_, args)
  local tenant, upload = unpack(args)
  drop_upload(tenant, upload, tonumber(redis.call('HGET', upload_key(tenant, upload), 'chunks')) or 0)
  return 'OK'
end

local function staged_whole(tenant, upload, size)
  local bytes = 0
  for index = 0, chunks_of(size) - 1 do
    bytes = bytes + redis.call('STRLEN', upload_key(tenant, upload) .. ':' .. index)
  end
  return bytes == tonumber(size)
end

-- The shelf of an upload as a manifest names it; nil where its chunks are here, or where it has lapsed.
local function new_shelf(tenant, upload, parts)
  local store, counted = unpack(redis.call('HMGET', upload_key(tenant, upload), 'store', 'parts'))
  return store and store .. '/' .. upload .. '/' .. (counted or parts)
end

-- Makes what an upload holds that of an artifact.
local function keep_staged(tenant, upload, sha, size, text)
  if text then
    shelf.give(tenant, sha, text)
    redis.call('HDEL', upload_key(tenant, upload), 'store')
  else
    for index = 0, chunks_of(size) - 1 do
      local chunk = P .. 'a:' .. tenant .. ':' .. sha .. ':' .. index
      redis.call('RENAME', upload_key(tenant, upload) .. ':' .. index, chunk)
      redis.call('PERSIST', chunk)
    end
  end
  drop_upload(tenant, upload, 0)
end

-- Gives an artifact whose bytes were lost those that came again. It stays pinned, and counted.
function shelf.restore(tenant, upload, sha, size, text)
  local before = redis.call('HGET', manifest_key(tenant, sha), 'shelf')
  if before then
    shelf.take(tenant, before)
  end
  redis.call('HDEL', manifest_key(tenant, sha), 'shelf', 'lost')
  keep_staged(tenant, upload, sha, size, text)
end

-- Makes what is staged the artifact. Who calls has compared the digest of the whole, and says what only the caller knows:
-- the parts of a put, and whether an upload was taken over and may have left parts on its shelf that count for nothing.
local function artifact_seal(_, args)
  local tenant, upload, sha, size, media, digests, ttl_ms, parts, torn = unpack(args)
  local known = artifact_touch(nil, {tenant, sha, ttl_ms})
  if known then
    drop_upload(tenant, upload, chunks_of(size))
    return known
  end
  local text = new_shelf(tenant, upload, parts)
  if not (text and shelf.whole(text, digests, chunks_of(size)) or not text and staged_whole(tenant, upload, size)) then
    return 'INCOMPLETE'
  end
  if artifact_info(tenant, sha) then
    shelf.restore(tenant, upload, sha, size, text)
    return artifact_touch(nil, {tenant, sha, ttl_ms})
  end
  local now = now_ms()
  local expires = int(now + ttl_ms)
  redis.call('HSET', manifest_key(tenant, sha), 'size', size, 'media', media, 'created', int(now),
    'expires', expires, 'pins', 0, 'digests', digests)
  redis.call('ZADD', P .. 'lapse', expires, tenant .. '/' .. sha)
  add_bytes(tenant, size)
  keep_staged(tenant, upload, sha, size, text)
  if text and torn == '1' then
    shelf.discard((shelf.named(text)), tenant, upload)
  end
  return artifact_info(tenant, sha)
end

local function drop_chunks(tenant, sha, size)
  for index = 0, chunks_of(size) - 1 do
    redis.call('UNLINK', P .. 'a:' .. tenant .. ':' .. sha .. ':' .. index)
  end
end

local function drop_artifact(tenant, sha)
  local size, text = unpack(redis.call('HMGET', manifest_key(tenant, sha), 'size', 'shelf'))
  if text then
    shelf.take(tenant, text)
  else
    drop_chunks(tenant, sha, size)
  end
  redis.call('UNLINK', manifest_key(tenant, sha))
  redis.call('ZREM', P .. 'lapse', tenant .. '/' .. sha)
  add_bytes(tenant, -size)
end

local function artifact_delete(_, args)
  local tenant, sha = unpack(args)
  local pins = redis.call('HGET', manifest_key(tenant, sha), 'pins')
  if not pins then
    return 'NOT_FOUND'
  end
  if pins ~= '0' then
    return 'PINNED'
  end
  drop_artifact(tenant, sha)
  return 'OK'
end

local function artifact_pin(_, args)
  local tenant, sha = unpack(args)
  return pin(tenant, sha) and 'OK' or 'NOT_FOUND'
end

local function artifact_unpin(_, args)
  local tenant, sha, ttl_ms = unpack(args)
  return unpin(tenant, sha, ttl_ms, now_ms()) and 'OK' or 'NOT_FOUND'
end
