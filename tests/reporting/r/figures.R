# What R says of lme4's own data sets and of the study's table: Rscript figures.R data_public.csv > figures.csv
# The figures in figures.csv were made with R 4.2.2, lme4 1.1-31, lmerTest 3.1-3, emmeans 1.8.4-1, psych 2.2.9,
# effectsize 0.8.3 (Debian 12). TOSTER and irr are not in Debian: TOST is two calls of t.test, as TOSTER's own are, and
# Krippendorff's alpha is written out here from his definition. Each line: set, what, value.
suppressMessages({library(lme4); library(lmerTest); library(emmeans); library(psych); library(effectsize)})
options(digits = 12)
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE)))
say <- function(set, what, value) cat(sprintf("%s,%s,%.10g\n", set, what, as.numeric(value)), sep = "")
quietly <- function(x) suppressMessages(suppressWarnings(x))

components <- function(set, formula, data) {
  fit <- quietly(lme4::lmer(formula, data))
  found <- as.data.frame(VarCorr(fit))
  for (i in seq_len(nrow(found))) say(set, paste("sd", found$grp[i]), found$sdcor[i])
}

# ---- data sets, written beside this script as text x model x persona ----
sets <- list(
  sleepstudy = with(sleepstudy, data.frame(text = Subject, model = Days, persona = "-", score = Reaction)),
  dyestuff = with(Dyestuff, data.frame(text = Batch, model = "-", persona = "-", score = Yield)),
  dyestuff2 = with(Dyestuff2, data.frame(text = Batch, model = "-", persona = "-", score = Yield)),
  pastes = with(Pastes, data.frame(text = batch, model = cask, persona = "-", score = strength)),
  cake = with(cake, data.frame(text = replicate, model = recipe, persona = temperature, score = angle)),
  penicillin = with(Penicillin, data.frame(text = plate, model = sample, persona = "-", score = diameter)))
for (name in names(sets)) {
  for (factor in c("text", "model", "persona")) sets[[name]][[factor]] <- factor(as.character(sets[[name]][[factor]]))
  write.csv(sets[[name]], file.path(here, paste0(name, ".csv")), row.names = FALSE, quote = FALSE)
}
components("sleepstudy", score ~ 1 + (1|text) + (1|model), sets$sleepstudy)
components("dyestuff", score ~ 1 + (1|text), sets$dyestuff)
components("dyestuff2", score ~ 1 + (1|text), sets$dyestuff2)
components("pastes", score ~ 1 + (1|text) + (1|model) + (1|text:model), sets$pastes)
components("penicillin", score ~ 1 + (1|text) + (1|model), sets$penicillin)
components("cake", score ~ 1 + (1|text) + (1|model) + (1|persona) + (1|text:model) + (1|text:persona) +
  (1|model:persona), sets$cake)

# ---- paired differences over texts ----
contrast <- function(set, table, left, right, family, margin) {
  x <- table[, left]; y <- table[, right]
  t <- t.test(x, y, paired = TRUE)
  all <- t.test(x, y, paired = TRUE, conf.level = 1 - 0.05 / family)
  tost <- max(t.test(x, y, paired = TRUE, mu = -margin, alternative = "greater")$p.value,
              t.test(x, y, paired = TRUE, mu = margin, alternative = "less")$p.value)
  values <- c(difference = t$estimate, se = t$stderr, df = t$parameter, t = t$statistic, p = t$p.value,
              low = t$conf.int[1], high = t$conf.int[2], all_low = all$conf.int[1], all_high = all$conf.int[2],
              p_equivalent = tost, effect = mean(x - y) / sd(x - y))
  names(values) <- c("difference", "se", "df", "t", "p", "low", "high", "all_low", "all_high", "p_equivalent", "effect")
  for (name in names(values)) say(set, paste(left, "-", right, name), values[name])
}
wide <- with(sets$sleepstudy, tapply(score, list(text, model), mean))
days <- colnames(wide)
for (other in c("1", "5", "9")) contrast("sleepstudy", wide, "0", other, 45, 20)
pairs <- combn(days, 2)
raw <- apply(pairs, 2, function(two) t.test(wide[, two[1]], wide[, two[2]], paired = TRUE)$p.value)
holm <- p.adjust(raw, "holm")
for (i in seq_len(ncol(pairs))) say("sleepstudy", paste(pairs[1, i], "-", pairs[2, i], "p_holm"), holm[i])

# The same model: two levels, texts at random.
emm <- function(set, formula, data, left, right) {
  two <- droplevels(subset(data, model %in% c(left, right)))
  two$model <- factor(two$model, levels = c(left, right))
  fit <- quietly(lmerTest::lmer(formula, two))
  found <- quietly(as.data.frame(pairs(emmeans(fit, "model", lmer.df = "satterthwaite"))))
  for (name in c("estimate", "SE", "df", "p.value")) say(set, paste("emmeans", left, "-", right, name), found[[name]])
}
emm("sleepstudy", score ~ model + (1|text), sets$sleepstudy, "0", "9")

# ---- F over texts ----
tested <- function(set, axis, data) {
  means <- aggregate(data$score, list(text = data$text, level = data[[axis]]), mean)
  found <- anova(lm(x ~ text + level, means))
  say(set, paste("F", axis), found["level", "F value"]); say(set, paste("F df", axis), found["level", "Df"])
  say(set, paste("F df_error", axis), found["Residuals", "Df"]); say(set, paste("F p", axis), found["level", "Pr(>F)"])
}
tested("sleepstudy", "model", sets$sleepstudy)
tested("cake", "model", sets$cake)
tested("cake", "persona", sets$cake)

# ---- agreement ----
agreement <- function(set, table) {
  found <- suppressMessages(suppressWarnings(psych::ICC(table, lmer = FALSE)))$results
  for (i in 1:3) {
    name <- c("ICC(1)", "ICC(A 1)", "ICC(C 1)")[i]
    say(set, name, found$ICC[i]); say(set, paste(name, "low"), found$`lower bound`[i])
    say(set, paste(name, "high"), found$`upper bound`[i])
  }
  say(set, "ICC(1 k)", found$ICC[4])
}
agreement("penicillin", as.data.frame.matrix(with(sets$penicillin, tapply(score, list(text, model), mean))))
agreement("sleepstudy", as.data.frame.matrix(wide))
dye <- as.data.frame.matrix(t(matrix(sets$dyestuff$score, nrow = 5)))
agreement("dyestuff", dye)
alpha <- function(table) {
  long <- as.vector(as.matrix(table)); unit <- as.vector(row(table)); k <- ncol(table); n <- length(long)
  within <- sum(outer(long, long, "-")^2 * outer(unit, unit, "==")) / (k - 1) / n
  1 - within / (sum(outer(long, long, "-")^2) / (n - 1) / n)
}
say("penicillin", "alpha", alpha(as.data.frame.matrix(with(sets$penicillin, tapply(score, list(text, model), mean)))))
say("dyestuff", "alpha", alpha(dye))

# ---- the study ----
study <- read.csv(commandArgs(TRUE)[1])
for (name in c("model", "text", "persona", "developer")) study[[name]] <- factor(study[[name]])
whole <- study[complete.cases(study[, paste0("Q", 1:4, "value")]), ]
counts <- with(na.omit(study[, c("model", "text", "persona", "Q3value")]), table(model, text, persona))
complete <- rownames(counts)[apply(counts, 1, function(x) all(x == 10))]
two <- complete[1:2]
cat(sprintf("study,left %s,1\nstudy,right %s,1\n", two[1], two[2]))
for (question in c("Q1value", "Q3value")) {
  study$score <- study[[question]]
  set <- paste("study", question)
  components(set, score ~ 1 + (1|text) + (1|model) + (1|persona) + (1|text:model) + (1|text:persona) +
    (1|model:persona) + (1|text:model:persona), study)
  one <- subset(study, model %in% two)
  cells <- aggregate(score ~ text + persona + model, one, mean)
  contrast(set, with(cells, tapply(score, list(text, model), mean)), two[1], two[2], 1, 5)
  data <- transform(one, model = factor(as.character(model)))
  if (question == "Q3value") emm(set, score ~ model + (1|text) + (1|text:model), data, two[1], two[2])
  whole$score <- whole[[question]]
  found <- anova(lm(score ~ text, whole))
  say(set, "anova F", found["text", "F value"])
  rank <- kruskal.test(score ~ text, whole)
  say(set, "kruskal H", rank$statistic)
  cell <- function(name) subset(study, model == name & persona == "p3" & text == "t1")$score
  delta <- effectsize::cliffs_delta(cell(two[1]), cell(two[2]))
  say(set, "cliffs delta p3 t1", delta$r_rank_biserial)
}
