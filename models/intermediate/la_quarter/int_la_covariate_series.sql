-- One row per programme, kind of index event, authority, quarter of the trial period (and the quarter before it) and
-- covariate of the authority: its value, interpolated linearly where the quarter has none, ends carried
-- (definitions, section 6). The population is that of the last middle of a year by the end of the quarter.

with
outcomes as (

    select * from {{ ref('outcomes') }}
    where status <> 'not_evaluated'

),

quarters as (

    select * from {{ ref('int_trial_quarters') }}

),

authorities as (

    select * from {{ ref('local_authorities') }}

),

shares as (

    select * from {{ ref('int_la_quarter_shares') }}

),

population as (

    select * from {{ ref('int_la_population') }}

),

kinds_of_programme as (

    select distinct
        programme,
        index_event
    from outcomes

),

every_quarter as (

    select
        quarters.programme,
        kinds_of_programme.index_event,
        authorities.la_code,
        quarters.quarter_no,
        quarters.quarter_start,
        shares.share_fsm,
        shares.share_white_british,
        population.n_children,
        coalesce(population.is_filled, true) as is_population_filled
    from quarters
    inner join kinds_of_programme on quarters.programme = kinds_of_programme.programme
    cross join authorities
    left join shares
        on
            quarters.programme = shares.programme
            and kinds_of_programme.index_event = shares.index_event
            and authorities.la_code = shares.la_code
            and quarters.quarter_start = shares.quarter_start
    left join population
        on
            authorities.la_code = population.la_code
            and {{ financial_year('quarters.quarter_start') }} - 1 = population.population_year

),

long_form as (

    {% for covariate, column, is_filled in [
        ('la_share_fsm', 'share_fsm', 'share_fsm is null'),
        ('la_share_white_british', 'share_white_british', 'share_white_british is null'),
        ('la_n_children', 'n_children', 'is_population_filled'),
    ] %}
    select
        programme,
        index_event,
        la_code,
        quarter_no,
        quarter_start,
        '{{ covariate }}' as covariate,
        cast({{ column }} as double) as value_seen,
        {{ is_filled }} as is_filled
    from every_quarter
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

runs_of_missing_quarters as (

    select
        *,
        count(value_seen) over (
            partition by programme, index_event, la_code, covariate
            order by quarter_no rows between unbounded preceding and current row
        ) as n_seen_so_far,
        count(value_seen) over (
            partition by programme, index_event, la_code, covariate
            order by quarter_no rows between current row and unbounded following
        ) as n_seen_from_here
    from long_form

),

nearest_seen as (

    select
        *,
        {{ nearest_in_run('quarter_no', 'value_seen', 'programme, index_event, la_code, covariate') }}
    from runs_of_missing_quarters

),

final as (

    select
        programme,
        index_event,
        la_code,
        quarter_no,
        quarter_start,
        covariate,
        {{ interpolated('quarter_no', 'value_seen') }} as value,
        is_filled
    from nearest_seen

)

select * from final
