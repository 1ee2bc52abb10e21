"""Classic payloads: AVIF, WebP, lossless, without their heads; may import the packets."""
