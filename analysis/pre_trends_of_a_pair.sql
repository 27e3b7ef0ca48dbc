-- Two authorities side by side before go-live: quarterly means of one outcome, how far each lies from all authorities
-- of that quarter in standard deviations (z), and how z changed since the quarter before: what the reviewer of a match
-- looks at. Choose with --vars '{programme: ..., outcome: ..., treated: "335", candidate: "888"}'; without, it shows a
-- programme's primary outcome for the authority of the programme with the most quarters of children (of equals the
-- first in the roll-out), and of the authorities neither in the programme nor excluded the one with the most children.
-- Here z is among all authorities with children in the quarter; matching (results.la_match_series) standardises among
-- the candidates alone.

with
programmes as (

    select * from {{ ref('programmes') }}

),

sites as (

    select * from {{ ref('sites') }}

),

exclusions as (

    select * from {{ ref('exclusions') }}

),

outcomes as (

    select * from {{ ref('outcomes') }}

),

parameters as (

    select * from {{ ref('parameters') }}

),

la_quarter_outcomes as (

    select * from {{ ref('la_quarter_outcomes') }}

),

window_lengths as (

    select
        programmes.programme,
        cast(coalesce(own.parameter_value, shared.parameter_value) as integer) as n_quarters
    from programmes
    inner join parameters as shared on shared.parameter = 'matching_quarters' and shared.programme = '*'
    left join parameters as own on shared.parameter = own.parameter and programmes.programme = own.programme

),

windows_of_sites as (

    select
        sites.programme,
        sites.la_code,
        sites.roll_out_order,
        outcomes.outcome,
        -- The first quarter that is not over by go-live (or the start of embedding) minus the outcome's window.
        {{ quarter_start(
            add_months('coalesce(sites.embedding_start, sites.go_live_date)', '-outcomes.window_months') ~ ' + 1'
        ) }} as quarters_before,
        greatest(programmes.data_span_start, programmes.trial_start) as quarters_from
    from sites
    inner join programmes on sites.programme = programmes.programme
    inner join outcomes
        on
            programmes.programme = outcomes.programme
            and outcomes.status <> 'not_evaluated'
            and {{ "'" ~ var('outcome') ~ "'" if var('outcome', none) else 'programmes.primary_outcome' }}
            = outcomes.outcome
    where
        outcomes.window_months is not null
    {% if var('programme', none) %}
        and sites.programme = '{{ var("programme") }}'
    {% endif %}
    {% if var('treated', none) %}
        and sites.la_code = '{{ var("treated") }}'
    {% endif %}

),

quarters_of_sites as (

    select
        windows_of_sites.programme,
        windows_of_sites.outcome,
        windows_of_sites.la_code,
        windows_of_sites.roll_out_order,
        la_quarter_outcomes.quarter_start
    from windows_of_sites
    inner join window_lengths on windows_of_sites.programme = window_lengths.programme
    inner join la_quarter_outcomes
        on
            windows_of_sites.programme = la_quarter_outcomes.programme
            and windows_of_sites.outcome = la_quarter_outcomes.outcome
            and windows_of_sites.la_code = la_quarter_outcomes.la_code
    where
        la_quarter_outcomes.quarter_start >= windows_of_sites.quarters_from
        and la_quarter_outcomes.quarter_start < windows_of_sites.quarters_before
        and la_quarter_outcomes.quarter_start
        >= {{ add_months('windows_of_sites.quarters_before', '-3 * window_lengths.n_quarters') }}
        and la_quarter_outcomes.n_children > 0

),

treated_chosen as (

    select
        programme,
        outcome,
        la_code
    from quarters_of_sites
    group by programme, outcome, la_code, roll_out_order
    order by count(*) desc, programme asc, roll_out_order asc, la_code asc
    limit 1

),

quarters_compared as (

    select
        quarters_of_sites.programme,
        quarters_of_sites.outcome,
        quarters_of_sites.la_code as treated_la_code,
        quarters_of_sites.quarter_start
    from quarters_of_sites
    inner join treated_chosen
        on
            quarters_of_sites.programme = treated_chosen.programme
            and quarters_of_sites.outcome = treated_chosen.outcome
            and quarters_of_sites.la_code = treated_chosen.la_code

),

means_in_window as (

    select
        quarters_compared.treated_la_code,
        la_quarter_outcomes.programme,
        la_quarter_outcomes.outcome,
        la_quarter_outcomes.la_code,
        la_quarter_outcomes.quarter_start,
        la_quarter_outcomes.n_children,
        la_quarter_outcomes.mean_value
    from quarters_compared
    inner join la_quarter_outcomes
        on
            quarters_compared.programme = la_quarter_outcomes.programme
            and quarters_compared.outcome = la_quarter_outcomes.outcome
            and quarters_compared.quarter_start = la_quarter_outcomes.quarter_start
    where la_quarter_outcomes.n_children > 0

),

candidate_chosen as (

    {% if var('candidate', none) %}
    select '{{ var("candidate") }}' as la_code
    {% else %}
    select means_in_window.la_code
    from means_in_window
    left join sites
        on
            means_in_window.programme = sites.programme
            and means_in_window.la_code = sites.la_code
    left join exclusions
        on
            means_in_window.programme = exclusions.programme
            and means_in_window.la_code = exclusions.la_code
    where sites.la_code is null and exclusions.la_code is null
    group by means_in_window.la_code
    order by sum(means_in_window.n_children) desc, means_in_window.la_code asc
    limit 1
    {% endif %}

),

spread_of_quarter as (

    select
        quarter_start,
        avg(mean_value) as mean_of_authorities,
        stddev_samp(mean_value) as sd_of_authorities
    from means_in_window
    group by quarter_start

),

pair_standardised as (

    select
        means_in_window.programme,
        means_in_window.outcome,
        means_in_window.quarter_start,
        means_in_window.la_code,
        case
            when means_in_window.la_code = means_in_window.treated_la_code then 'treated' else 'candidate'
        end as role_in_pair,
        means_in_window.n_children,
        means_in_window.mean_value,
        (means_in_window.mean_value - spread_of_quarter.mean_of_authorities)
        / nullif(spread_of_quarter.sd_of_authorities, 0) as z_value
    from means_in_window
    inner join spread_of_quarter on means_in_window.quarter_start = spread_of_quarter.quarter_start
    left join candidate_chosen on means_in_window.la_code = candidate_chosen.la_code
    where means_in_window.la_code = means_in_window.treated_la_code or candidate_chosen.la_code is not null

)

select
    programme,
    outcome,
    quarter_start,
    role_in_pair,
    la_code,
    n_children,
    mean_value,
    z_value,
    z_value - lag(z_value) over (partition by la_code order by quarter_start) as z_change
from pair_standardised
order by quarter_start asc, role_in_pair desc
