# REML fits of the study's table. Rscript study.R data_public.csv
suppressMessages({library(lme4); library(lmerTest)})
d <- read.csv(commandArgs(TRUE)[1])
for (v in c("model","text","persona")) d[[v]] <- factor(d[[v]])
for (q in c("Q1value","Q2value","Q3value","Q4value")) {
  d$y <- d[[q]]
  f <- lme4::lmer(y ~ 1 + (1|text) + (1|model) + (1|persona) + (1|text:model) + (1|text:persona) + (1|model:persona) +
            (1|text:model:persona), d)
  cat(q, "\n"); print(as.data.frame(VarCorr(f))[,c("grp","sdcor")], digits=7)
}
