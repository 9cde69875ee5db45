-- Every row has its attempt number.
CREATE OR REPLACE TEMP VIEW numbered AS FROM raw;
