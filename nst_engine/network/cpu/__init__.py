"""What makes the network fast on a CPU: threads that share strips of a picture, memory kept from pass to pass,
convolutions with fewer products, loops in machine code. It computes what torch's own operations compute."""
