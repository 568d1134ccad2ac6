/* The distinct values of a column, each with a code: an open-addressing hash table that only grows. */

typedef struct {
    uint8_t *bytes; /* the values, end to end */
    size_t size, room;
    size_t *ends; /* where value i ends */
    size_t count, end_room;
    uint32_t *slots; /* code + 1, open addressing, a power of two */
    size_t slot_count;
    uint64_t seed; /* of the hash, so that nobody can write a log whose values all collide */
} values_t;

static uint64_t hash_bytes(uint64_t seed, const uint8_t *p, size_t n)
{
    uint64_t h = seed ^ n;
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        h = (h ^ word) * 0x9E3779B97F4A7C15u;
        h ^= h >> 32;
    }
    uint64_t word = 0;
    memcpy(&word, p, n);
    h = (h ^ word) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

static inline size_t value_start(const values_t *d, size_t code)
{
    return code ? d->ends[code - 1] : 0;
}

static int grow_slots(values_t *d)
{
    size_t count = d->slot_count ? d->slot_count * 2 : 64;
    uint32_t *slots = calloc(count, sizeof *slots);
    if (!slots)
        return 0;
    for (size_t code = 0; code < d->count; code++) {
        size_t start = value_start(d, code);
        size_t at = hash_bytes(d->seed, d->bytes + start, d->ends[code] - start) & (count - 1);
        while (slots[at])
            at = (at + 1) & (count - 1);
        slots[at] = (uint32_t)code + 1;
    }
    free(d->slots);
    d->slots = slots;
    d->slot_count = count;
    return 1;
}

/* The value's code, -1 without memory. */
static int64_t code_of(values_t *d, const uint8_t *p, size_t n)
{
    if (d->count * 2 >= d->slot_count && !grow_slots(d))
        return -1;
    size_t at = hash_bytes(d->seed, p, n) & (d->slot_count - 1);
    for (; d->slots[at]; at = (at + 1) & (d->slot_count - 1)) {
        size_t code = d->slots[at] - 1, start = value_start(d, code);
        if (d->ends[code] - start == n && !memcmp(d->bytes + start, p, n))
            return (int64_t)code;
    }
    if (!d->bytes || d->room - d->size < n) {
        size_t room = (d->size + n) * 2 + 256;
        uint8_t *bytes = realloc(d->bytes, room);
        if (!bytes)
            return -1;
        d->bytes = bytes;
        d->room = room;
    }
    if (d->count == d->end_room) {
        size_t room = d->end_room * 2 + 64;
        size_t *ends = realloc(d->ends, room * sizeof *ends);
        if (!ends)
            return -1;
        d->ends = ends;
        d->end_room = room;
    }
    if (n)
        memcpy(d->bytes + d->size, p, n);
    d->size += n;
    d->ends[d->count] = d->size;
    d->slots[at] = (uint32_t)++d->count;
    return (int64_t)d->count - 1;
}
