"""What a `SummaryWriter` is given, torch's or tensorboardX's: hearing it, and naming it."""
