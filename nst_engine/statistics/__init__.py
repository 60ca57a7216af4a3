"""What is measured of a picture's features, where (`regions`), and how far apart two measurements are."""
