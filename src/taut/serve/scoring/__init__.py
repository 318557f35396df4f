"""Rows in, predictions out: engines that call models, micro-batches before them, the log behind them."""
