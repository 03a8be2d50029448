"""Racing, through real Kafka, real Postgres and the stand-in API."""
