"""Where an archive's files lie: folder, bucket, sealed zip, server; may import errors alone."""
