-- Batches of the inbox that the store has taken in, so that none is taken in twice.
CREATE TABLE batches (
    name VARCHAR NOT NULL,         -- of the file in the inbox; unique
    folded_at TIMESTAMP NOT NULL,
    attempts BIGINT NOT NULL,      -- that were new
    refused VARCHAR NOT NULL       -- why nothing of a source was added; empty if all was
);
