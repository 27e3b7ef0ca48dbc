-- One row per programme, outcome and authority: the first and last day of its observed span. The span starts with the
-- first return year expected, no earlier than the programme's data span, and ends on the 31 March of the last return
-- year before the first gap in the collections that the outcome needs, no later than the data span; an empty return
-- counts as landed (definitions, section 4). Null where the first year is missing already. National school tables count
-- for every authority. An authority made later is expected from its first year: what its first return carries over from
-- earlier years is who was still known, not who was referred. A return in parts counts by the module that the outcome
-- needs; a variant needs what its outcome needs.

with
programmes as (

    select * from {{ ref('programmes') }}

),

outcomes as (

    select * from {{ ref('outcomes') }}
    where status <> 'not_evaluated'

),

outcome_collections as (

    select * from {{ ref('outcome_collections') }}

),

authorities as (

    select * from {{ ref('local_authorities') }}

),

returns_landed as (

    select * from {{ ref('int_landed_modules') }}

),

collections as (

    select
        outcomes.programme,
        outcomes.outcome,
        outcome_collections.collection,
        outcome_collections.module
    from outcomes
    inner join outcome_collections
        on
            outcomes.programme = outcome_collections.programme
            and coalesce(outcomes.variant_of, outcomes.outcome) = outcome_collections.outcome

),

programme_years as (

    select
        programme,
        {{ whole_numbers(financial_year('data_span_start'), financial_year('data_span_end')) }} as return_year
    from programmes

),

returns_needed as (

    select
        collections.programme,
        collections.outcome,
        collections.collection,
        collections.module,
        authorities.la_code,
        programme_years.return_year
    from collections
    inner join programme_years on collections.programme = programme_years.programme
    inner join authorities
        on
            authorities.valid_from is null
            or {{ financial_year('authorities.valid_from') }} <= programme_years.return_year

),

returns_missing as (

    select
        returns_needed.programme,
        returns_needed.outcome,
        returns_needed.la_code,
        min(returns_needed.return_year) as first_needed_year,
        max(returns_needed.return_year) as last_needed_year,
        min(
            case
                when of_authority.collection is null and of_nation.collection is null then returns_needed.return_year
            end
        ) as first_missing_year
    from returns_needed
    left join returns_landed as of_authority
        on
            returns_needed.collection = of_authority.collection
            and returns_needed.module = of_authority.module
            and returns_needed.la_code = of_authority.la_code
            and returns_needed.return_year = of_authority.return_year
    left join returns_landed as of_nation
        on
            returns_needed.collection = of_nation.collection
            and returns_needed.module = of_nation.module
            and returns_needed.return_year = of_nation.return_year
            and of_nation.la_code is null
    group by returns_needed.programme, returns_needed.outcome, returns_needed.la_code

),

spans as (

    select
        returns_missing.programme,
        returns_missing.outcome,
        returns_missing.la_code,
        cast(returns_missing.first_missing_year as integer) as first_missing_year,
        case
            when returns_missing.first_missing_year is null then programmes.data_span_end
            when returns_missing.first_missing_year > returns_missing.first_needed_year
                then least({{ return_year_end('returns_missing.first_missing_year - 1') }}, programmes.data_span_end)
        end as observed_to,
        greatest({{ return_year_start('returns_missing.first_needed_year') }}, programmes.data_span_start) as span_start
    from returns_missing
    inner join programmes on returns_missing.programme = programmes.programme

),

final as (

    select
        programme,
        outcome,
        la_code,
        first_missing_year,
        case when observed_to is not null then span_start end as observed_from,
        observed_to
    from spans

)

select * from final
