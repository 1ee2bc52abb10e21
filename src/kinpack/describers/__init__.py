"""What finds kin: descriptors, product codes, describers; may import networks and pictures."""
