-- Bytes that are kept outside of this Redis. A shelf is the folder of one upload in a store of bytes. It is declared here
-- before its first byte is written, and ends in one of two ways: as the shelf of one artifact, or discarded; it is never
-- used again. What is discarded stands on a list until its bytes are gone. So what no key here names, nobody needs.

-- One local for all of them: Lua allows 200 in a chunk.
local shelf = {}

-- Which store and which shelf a text STORE/SHELF/COUNT,COUNT,... names; the counts are the chunks of each part.
function shelf.named(text)
  return string.match(text, '^([^/]+)/([^/]+)/')
end

-- The bytes of a shelf, or those of them that its artifact does not need, are to go.
function shelf.discard(store, tenant, id)
  redis.call('ZADD', P .. 'discarded:' .. store, int(now_ms()), tenant .. '/' .. id)
end

-- Makes a shelf that of an artifact.
function shelf.give(tenant, sha, text)
  local _, id = shelf.named(text)
  redis.call('HSET', manifest_key(tenant, sha), 'shelf', text)
  redis.call('HSET', P .. 'shelves:' .. tenant, id, sha)
end

-- Takes a shelf from its artifact.
function shelf.take(tenant, text)
  local store, id = shelf.named(text)
  redis.call('HDEL', P .. 'shelves:' .. tenant, id)
  shelf.discard(store, tenant, id)
end

-- Whether the parts that a text names, and the digests, are those of so many chunks.
function shelf.whole(text, digests, chunks)
  local counted = 0
  for count in string.gmatch(string.match(text, '[^/]*$'), '%d+') do
    counted = counted + count
  end
  return counted == chunks and #digests == 32 * chunks
end
